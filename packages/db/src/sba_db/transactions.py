"""Whole transactions run again after a conflict: the one place where the data layer retries anything."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, Literal, LiteralString, TypeVar

from sba_db.connection import Call
from sba_db.errors import DatabaseUnavailable, PoolExhausted, TransactionConflict
from sba_resilience import Retry, RetryBudget

Isolation = Literal["read committed", "repeatable read", "serializable"]
T = TypeVar("T")

_BEGIN: Final[dict[Isolation, LiteralString]] = {
    "read committed": "begin read write",
    "repeatable read": "begin isolation level repeatable read read write",
    "serializable": "begin isolation level serializable read write",
}
NAME: Final = "postgres.transaction"
FIRST_WAIT: Final = 0.01
LONGEST_WAIT: Final = 0.5


def begin(isolation: Isolation) -> Call:
    """The statement that begins a transaction which may write."""
    return _BEGIN[isolation], {}


def left_nothing(error: BaseException) -> bool:
    """Whether a transaction that ended with this error has surely not happened and may do so another time.

    A conflict was rolled back by the server, and so was whatever a lost connection had begun, unless it was
    lost during commit. A full pool is left alone: more callers would not empty it.
    """
    if isinstance(error, DatabaseUnavailable):
        return not error.in_doubt and not isinstance(error, PoolExhausted)
    return isinstance(error, TransactionConflict)


def left_nothing_or_the_same(error: BaseException) -> bool:
    """As `left_nothing`, for a transaction that may happen twice."""
    return left_nothing(error) or (isinstance(error, DatabaseUnavailable) and error.in_doubt)


class Transactions:
    """How often, and after which errors, a transaction is run again.

    The waits are random and grow. All transactions of a database share one budget of retries, so that a
    storm of conflicts or an outage is not made worse by them; a current `Deadline` bounds them too. A server
    that is away for longer than half a second is not waited for: its callers are told.

    Args:
        attempts: Runs in all, the first included.
        budget: What all of them may retry.
        sleep: Waits the given seconds.
    """

    __slots__ = ("_certain", "_idempotent")

    def __init__(
        self,
        attempts: int,
        *,
        budget: RetryBudget | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        shared = budget or RetryBudget(share=0.2, per_second=10.0, burst=100.0)

        def retry(worth: Callable[[BaseException], bool]) -> Retry:
            return Retry(
                attempts,
                FIRST_WAIT,
                LONGEST_WAIT,
                retry_on=worth,
                longest_wait=LONGEST_WAIT,
                budget=shared,
                name=NAME,
                sleep=sleep,
            )

        self._certain = retry(left_nothing)
        self._idempotent = retry(left_nothing_or_the_same)

    async def run(self, once: Callable[[], Awaitable[T]], *, idempotent: bool) -> T:
        """Run a transaction until it commits, or fails for good.

        Args:
            once: One whole transaction, begun and ended.
            idempotent: Whether it may happen twice, so that a commit in doubt is repeated as well.
        """
        return await (self._idempotent if idempotent else self._certain).call(once)
