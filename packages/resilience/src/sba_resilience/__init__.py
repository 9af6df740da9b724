"""Calls that leave the process: deadlines, retries, breakers and one guarded Redis client."""

from sba_resilience.breaker import Breaker, State
from sba_resilience.bulkhead import Bulkhead
from sba_resilience.deadline import Deadline
from sba_resilience.errors import (
    BreakerOpen,
    BulkheadFull,
    DeadlineExceeded,
    RedisCommandError,
    RedisError,
    RedisUnavailable,
    ResilienceError,
)
from sba_resilience.guard import Guard
from sba_resilience.retry import Retry

__all__ = [
    "Breaker",
    "BreakerOpen",
    "Bulkhead",
    "BulkheadFull",
    "Deadline",
    "DeadlineExceeded",
    "Guard",
    "RedisCommandError",
    "RedisError",
    "RedisUnavailable",
    "ResilienceError",
    "Retry",
    "State",
]
