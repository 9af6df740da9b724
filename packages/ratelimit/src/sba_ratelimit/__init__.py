"""May this run now: any number of limits decided together in one script on the server's clock."""

from sba_ratelimit.address import client_address
from sba_ratelimit.asgi import RateLimitMiddleware
from sba_ratelimit.concurrency import Concurrency, Hold
from sba_ratelimit.decision import Decision, LimitState
from sba_ratelimit.errors import CostTooLarge, DimensionMissing, RateLimitError, SlotsDiffer
from sba_ratelimit.events import EventLimiter, Verdict
from sba_ratelimit.limit import Limit, Quota
from sba_ratelimit.limiter import Limiter
from sba_ratelimit.plan import Per, Plan, Plans, PlanSource
from sba_ratelimit.routes import RouteLimits

__all__ = [
    "Concurrency",
    "CostTooLarge",
    "Decision",
    "DimensionMissing",
    "EventLimiter",
    "Hold",
    "Limit",
    "LimitState",
    "Limiter",
    "Per",
    "Plan",
    "PlanSource",
    "Plans",
    "Quota",
    "RateLimitError",
    "RateLimitMiddleware",
    "RouteLimits",
    "SlotsDiffer",
    "Verdict",
    "client_address",
]
