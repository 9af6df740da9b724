"""The time an operation has left, inherited by every call it makes."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from contextvars import ContextVar
from dataclasses import dataclass, field
from types import TracebackType
from typing import ClassVar, TypeAlias

from sba_resilience.errors import DeadlineExceeded

Task: TypeAlias = "asyncio.Task[object] | None"

_DIGITS = 9

_current: ContextVar[Deadline | None] = ContextVar("sba_deadline", default=None)


@dataclass(frozen=True, slots=True)
class Deadline:
    """A point in time after which the result is of no use to anyone.

    A deadline set inside another never reaches beyond it. `scope` only announces it; `bound`, and
    `async with deadline` which is the same, also cancels what is awaited inside.

    Attributes:
        HEADER: The header in which what is left travels to the next service.
        at: When it passes, in seconds of `clock`.
        budget: Seconds the operation was given.
        clock: Monotonic seconds.
    """

    HEADER: ClassVar[str] = "X-Deadline-Ms"

    at: float
    budget: float
    clock: Callable[[], float] = field(default=time.monotonic, repr=False)
    _entered: dict[Task, list[AbstractAsyncContextManager[Deadline]]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    @classmethod
    def after(cls, seconds: float, clock: Callable[[], float] = time.monotonic) -> Deadline:
        """A deadline `seconds` from now, or the current one if that comes first."""
        mine, outer = cls(clock() + seconds, seconds, clock), cls.current()
        return outer if outer is not None and outer.remaining() < seconds else mine

    @classmethod
    def from_header(
        cls, value: str | None, *, at_most: float, clock: Callable[[], float] = time.monotonic
    ) -> Deadline:
        """The deadline a caller sent along, never later than this side allows.

        Args:
            value: What `header` gave on the other side; a missing or malformed one means `at_most`.
            at_most: Seconds.
            clock: Monotonic seconds.
        """
        sent = value.strip() if value is not None else ""
        if not (sent.isascii() and sent.isdigit() and len(sent) <= _DIGITS):
            return cls.after(at_most, clock)
        return cls.after(min(int(sent) / 1000, at_most), clock)

    @staticmethod
    def current() -> Deadline | None:
        """The deadline of the operation this code runs in, if it has one."""
        return _current.get()

    @staticmethod
    @contextlib.contextmanager
    def detached() -> Iterator[None]:
        """Start shared work without the deadline of whoever happened to need it first."""
        token = _current.set(None)
        try:
            yield
        finally:
            _current.reset(token)

    def remaining(self) -> float:
        """Seconds left, negative when it has passed."""
        return self.at - self.clock()

    def header(self) -> str:
        """What is left in whole milliseconds, for the next service; `from_header` reads it there.

        A time left, not a time of day: the two clocks need not agree, and the way there is not deducted.
        """
        return str(max(0, int(self.remaining() * 1000)))

    def check(self) -> None:
        """Raise when the time is used up.

        Raises:
            DeadlineExceeded: It is.
        """
        if self.remaining() <= 0:
            raise DeadlineExceeded(self.budget)

    @contextlib.contextmanager
    def scope(self) -> Iterator[Deadline]:
        """Make this the current deadline, without cancelling anything."""
        token = _current.set(self)
        try:
            yield self
        finally:
            _current.reset(token)

    @contextlib.asynccontextmanager
    async def bound(self) -> AsyncIterator[Deadline]:
        """Make this the current deadline and cancel what is awaited inside once it passes.

        Raises:
            DeadlineExceeded: It passed; a `TimeoutError` of other origin is left alone.
        """
        self.check()
        timer = asyncio.timeout(self.remaining())
        try:
            async with timer:
                with self.scope():
                    yield self
        except TimeoutError as error:
            if timer.expired() and not isinstance(error, DeadlineExceeded):
                raise DeadlineExceeded(self.budget) from error
            raise

    async def __aenter__(self) -> Deadline:
        entered = self.bound()
        await entered.__aenter__()
        self._entered.setdefault(asyncio.current_task(), []).append(entered)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        mine = self._entered[asyncio.current_task()]
        entered = mine.pop()
        if not mine:
            del self._entered[asyncio.current_task()]
        return await entered.__aexit__(kind, error, trace)
