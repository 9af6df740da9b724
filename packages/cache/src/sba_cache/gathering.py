"""Reads of one turn that depend on the same versions, in one command."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextvars import Context
from functools import partial
from itertools import repeat
from typing import Final, NamedTuple, TypeAlias

from sba_cache.coherence import TOGETHER, Coherence, Mark, Scope
from sba_cache.record import VERSION_BYTES
from sba_cache.versions import Versions
from sba_resilience.deadline import Deadline
from sba_resilience.errors import RedisUnavailable, WrongEventLoop
from sba_resilience.redis import RedisClient

ROOM: Final = 256 * 1024
"""Bytes that one command should answer: more would have to arrive within its time limit all at once."""
LOOKS: Final = 12
"""Turns of the event loop for which a lone read stays awake: waking up takes longer than a near server."""
FAR: Final = 50
"""Reads that do not stay awake after one that did so in vain."""
NOBODYS: Final = Context()
"""For work that belongs to no one caller: it has no deadline."""


class Present(NamedTuple):
    """The versions of a scope at the moment of a read.

    Attributes:
        versions: As they are stored.
        stamp: One after the other, unless one is gone or damaged.
        mark: Taken before the read was sent.
        now: The server's unix seconds when the answer came; None while unknown.
    """

    versions: Sequence[bytes | None]
    stamp: bytes | None
    mark: Mark
    now: float | None


Answer: TypeAlias = tuple[Present, bytes | None] | None
"""The present versions and what is stored; None when an invalidation came to be owed meanwhile."""


class Batch(NamedTuple):
    """Reads that wait for the same command."""

    loop: asyncio.AbstractEventLoop
    scope: Scope
    names: list[str]
    waiters: list[asyncio.Future[Answer]]

    def fail(self, error: Exception) -> None:
        """Tell everyone who still waits."""
        for waiter in self.waiters:
            if not waiter.done():
                waiter.set_exception(error)


class Gathering:
    """Reads values with the versions they depend on, in one round trip.

    A read is sent at once when no other is under way, and stays awake for a near server's answer; those that
    come meanwhile leave together at the end of the event loop's turn, at most `TOGETHER` in a command, and
    fewer where values are large. Each of them is sent after it was asked for.

    Args:
        redis: The guarded client.
        coherence: Marks what is read.
        versions: Settled before anything is read.
        now: The server's unix seconds, or None while unknown.
    """

    def __init__(
        self,
        redis: RedisClient,
        *,
        coherence: Coherence,
        versions: Versions,
        now: Callable[[], float | None],
    ) -> None:
        self._redis = redis
        self._coherence = coherence
        self._versions = versions
        self._now = now
        self._unanswered = 0
        self._far = 0
        self._open: dict[Scope, Batch] = {}

    def read(self, scope: Scope, name: str) -> Awaitable[Answer]:
        """Ask for what is stored by that name, with the versions of its scope.

        Raises:
            RedisError: They cannot be read, or an invalidation is still owed.
            DeadlineExceeded: The current deadline passed first.
        """
        if self._versions.owing:
            return self._after_settling(scope, name)
        return self._in_time(scope, name)

    def _in_time(self, scope: Scope, name: str) -> Awaitable[Answer]:
        deadline = Deadline.current()
        if deadline is not None and deadline.remaining() <= self._redis.command_timeout:
            return self._before(deadline, scope, name)
        return self._asked(scope, name)

    def _asked(self, scope: Scope, name: str) -> Awaitable[Answer]:
        if self._unanswered and scope.together > 1:
            return self._join(scope, name)
        return self._alone(scope, name)

    async def _after_settling(self, scope: Scope, name: str) -> Answer:
        await self._versions.settle(scope)
        return await self._in_time(scope, name)

    async def _before(self, deadline: Deadline, scope: Scope, name: str) -> Answer:
        async with deadline.bound():
            return await self._asked(scope, name)

    async def _alone(self, scope: Scope, name: str) -> Answer:
        mark = self._coherence.mark(scope)
        reply = self._redis.send("MGET", *scope.version_keys, name)
        self._unanswered += 1
        try:
            await self._look_for(reply)
            values = await reply
        finally:
            self._unanswered -= 1
            _ = reply.cancel() or reply.cancelled() or reply.exception()
        if self._versions.owes(scope):
            return None
        stored = values.pop()
        _fit(scope, (stored,))
        return Present(values, stamp_of(values), mark, self._now()), stored

    async def _look_for(self, reply: asyncio.Future[list[bytes | None]]) -> None:
        """Stay awake for the answer to the only read, unless the server turned out to be too far away."""
        if self._far:
            self._far -= 1
            return
        for _ in range(LOOKS):
            if reply.done() or self._unanswered > 1:
                return
            await asyncio.sleep(0)
        self._far = 0 if reply.done() else FAR

    def _join(self, scope: Scope, name: str) -> asyncio.Future[Answer]:
        loop = asyncio.get_running_loop()
        batch = self._open.get(scope)
        if batch is None:
            batch = self._open[scope] = Batch(loop, scope, [], [])
            loop.call_soon(self._send, batch, context=NOBODYS)
        elif batch.loop is not loop:
            raise WrongEventLoop
        waiter: asyncio.Future[Answer] = loop.create_future()
        batch.names.append(name)
        batch.waiters.append(waiter)
        if len(batch.names) >= scope.together:
            self._send(batch)
        return waiter

    def _send(self, batch: Batch) -> None:
        if self._open.get(batch.scope) is not batch:
            return
        del self._open[batch.scope]
        mark = self._coherence.mark(batch.scope)
        try:
            reply = self._redis.send("MGET", *batch.scope.version_keys, *batch.names)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the callers'
            batch.fail(error)
            return
        self._unanswered += 1
        reply.add_done_callback(partial(self._land, batch, mark), context=NOBODYS)

    def _land(self, batch: Batch, mark: Mark, reply: asyncio.Future[list[bytes | None]]) -> None:
        self._unanswered -= 1
        try:
            answers = self._answers(batch.scope, mark, reply.result())
            for waiter, answer in zip(batch.waiters, answers, strict=True):
                if not waiter.done():
                    waiter.set_result(answer)
        except asyncio.CancelledError:
            batch.fail(RedisUnavailable("closed"))
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the callers'
            batch.scope.together = 1  # it may have been too much for the time
            batch.fail(error)

    def _answers(self, scope: Scope, mark: Mark, values: list[bytes | None]) -> Iterator[Answer]:
        count = len(scope.version_keys)
        _fit(scope, values[count:])
        if self._versions.owes(scope):
            return repeat(None, len(values) - count)
        versions = values[:count]
        present = Present(versions, stamp_of(versions), mark, self._now())
        return zip(repeat(present), values[count:])


def _fit(scope: Scope, values: Sequence[bytes | None]) -> None:
    """Ask for fewer values together at once when they are large, and for more again by and by."""
    largest = max(map(len, filter(None, values)), default=0)
    if largest:
        scope.together = max(1, min(scope.together + 1, ROOM // largest, TOGETHER))


def stamp_of(versions: Sequence[bytes | None]) -> bytes | None:
    """The versions one after the other, unless one is gone or damaged."""
    whole = [version for version in versions if version is not None and len(version) == VERSION_BYTES]
    return b"".join(whole) if len(whole) == len(versions) else None
