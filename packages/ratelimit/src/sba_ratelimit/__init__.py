"""May this run now: any number of limits decided together in one script on the server's clock."""

from sba_ratelimit.address import client_address
from sba_ratelimit.asgi import RateLimitMiddleware
from sba_ratelimit.decision import Decision, LimitState
from sba_ratelimit.errors import CostTooLarge, RateLimitError
from sba_ratelimit.limit import Limit
from sba_ratelimit.limiter import Limiter

__all__ = [
    "CostTooLarge",
    "Decision",
    "Limit",
    "LimitState",
    "Limiter",
    "RateLimitError",
    "RateLimitMiddleware",
    "client_address",
]
