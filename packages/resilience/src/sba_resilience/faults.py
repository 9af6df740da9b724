"""Whose fault an error is, and how long the other side asked to be left alone."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from sba_resilience.deadline import Deadline
from sba_resilience.errors import BulkheadFull

_TOO_MANY = frozenset({408, 425, 429})


def status_of(error: BaseException) -> int | None:
    """The HTTP status of an answer that was turned into an error.

    Read from `status_code` or `status` of the error or of its `response`, where HTTP clients put it.
    """
    for holder in (error, getattr(error, "response", None)):
        for name in ("status_code", "status"):
            status = getattr(holder, name, None)
            if isinstance(status, int) and 100 <= status <= 599:  # noqa: PLR2004 - what HTTP allows
                return status
    return None


def is_fault(error: BaseException) -> bool:
    """Whether an error speaks against the dependency.

    Not its fault: cancellation, a full bulkhead on this side, and an answer in the 400s other than
    408, 425 and 429, which tells the caller that the request was wrong.
    """
    if not isinstance(error, Exception) or isinstance(error, BulkheadFull):
        return False
    status = status_of(error)
    return status is None or status in _TOO_MANY or not 400 <= status <= 499  # noqa: PLR2004 - the 400s


def ran_out(deadline: Deadline | None, given: float, error: BaseException) -> bool:
    """Whether a cancelled call used up its deadline by itself, and is to be blamed for it.

    Args:
        deadline: The current one.
        given: Seconds it had left when the call began; with less than half of its budget the time was
            lost elsewhere.
        error: What ended the call.
    """
    cancelled = isinstance(error, asyncio.CancelledError)
    return deadline is not None and cancelled and deadline.remaining() <= 0 and given >= deadline.budget / 2


def retry_after_of(error: BaseException) -> float:
    """Seconds the other side asked to be left alone; 0 when it did not say.

    Read from `retry_after` of the error, else from the `Retry-After` header of its `response` when that
    is a number of seconds.
    """
    asked = getattr(error, "retry_after", None)
    if asked is None:
        headers = getattr(getattr(error, "response", None), "headers", None)
        asked = headers.get("Retry-After", headers.get("retry-after")) if isinstance(headers, Mapping) else 0
    try:
        seconds = float(asked or 0.0)
    except (TypeError, ValueError):
        return 0.0
    return seconds if seconds > 0 else 0.0
