"""The one error table: what each library error is to a client."""

from __future__ import annotations

from sba_db import (
    DatabaseTimeout,
    DatabaseUnavailable,
    MembershipDenied,
    TransactionConflict,
)
from sba_resilience import RedisError
from sba_supabase import KeysUnavailable, TokenError
from sba_telemetry.logs import get_logger
from sba_ws.errors import Refused

_log = get_logger(__name__)

RETRY_SOON = 1.0
_AWAY = (KeysUnavailable, DatabaseUnavailable, DatabaseTimeout, TransactionConflict, RedisError, TimeoutError)


def refusal_of(error: Exception) -> Refused:
    """What to tell a client whose request failed; a defect of ours is logged and named ``internal``."""
    if isinstance(error, Refused):
        return error
    if isinstance(error, TokenError):
        return Refused(error.code, str(error))
    if isinstance(error, MembershipDenied):
        return Refused("not_a_member", "the caller is not a member of this tenant")
    if isinstance(error, _AWAY):
        return _unavailable(getattr(error, "retry_after", RETRY_SOON))
    _log.error("request_failed", exc_info=error)
    return Refused("internal", "something went wrong on this side")


def _unavailable(retry_after: float) -> Refused:
    return Refused(
        "unavailable", "a dependency does not answer at the moment", retry_after=max(retry_after, RETRY_SOON)
    )
