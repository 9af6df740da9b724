"""Calls that leave the process: deadlines, retries, breakers and one guarded Redis client."""

from sba_resilience.breaker import Breaker, BreakerSnapshot, Mode, State
from sba_resilience.budget import RetryBudget
from sba_resilience.bulkhead import Bulkhead, BulkheadSnapshot
from sba_resilience.deadline import Deadline
from sba_resilience.errors import (
    BreakerOpen,
    BulkheadFull,
    CanaryContended,
    DeadlineExceeded,
    RedisCommandError,
    RedisError,
    RedisUnavailable,
    ResilienceError,
    UnshareableCommand,
    WrongEventLoop,
)
from sba_resilience.faults import is_fault, retry_after_of, status_of
from sba_resilience.guard import Guard, GuardSnapshot
from sba_resilience.retry import Retry

__all__ = [
    "Breaker",
    "BreakerOpen",
    "BreakerSnapshot",
    "Bulkhead",
    "BulkheadFull",
    "BulkheadSnapshot",
    "CanaryContended",
    "Deadline",
    "DeadlineExceeded",
    "Guard",
    "GuardSnapshot",
    "Mode",
    "RedisCommandError",
    "RedisError",
    "RedisUnavailable",
    "ResilienceError",
    "Retry",
    "RetryBudget",
    "State",
    "UnshareableCommand",
    "WrongEventLoop",
    "is_fault",
    "retry_after_of",
    "status_of",
]
