"""One run's events and everyone who follows them: no hole, no duplicate, in order.

Pure bookkeeping without a clock, a task or a connection. Each subscriber has a cursor, the last ``seq``
it was given, and only ``cursor + 1`` may follow. Two sources call in, in any interleaving: live events,
which may be lost, repeated or out of order, and pages of the table, which is the truth. Whatever a live
event cannot prove marks its subscriber as behind, and everyone who is behind is read for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar


class Numbered(Protocol):
    """An event with its place in the run, dense from 1."""

    @property
    def seq(self) -> int:
        """The place."""

    @property
    def type(self) -> str:
        """What happened."""


E = TypeVar("E", bound=Numbered)
E_contra = TypeVar("E_contra", bound=Numbered, contravariant=True)


class Sink(Protocol[E_contra]):
    """Where one subscriber's events go; False means that there is no room until `Feed.resume`."""

    def deliver(self, event: E_contra) -> bool:
        """Hand over the next event."""

    def gap(self, first: int, last: int) -> bool:
        """Say that the events ``first`` to ``last`` exist no more."""


@dataclass(frozen=True, slots=True)
class TableRead:
    """A page that is being read: everything ``after``, on behalf of ``subscribers``."""

    after: int
    subscribers: tuple[str, ...]


@dataclass(slots=True, eq=False)
class _Subscriber(Generic[E]):
    sink: Sink[E]
    cursor: int
    paused: bool = False

    def offer(self, event: E) -> bool:
        """Deliver ``event`` if it is the next one; whether this subscriber is now at or past it."""
        if event.seq <= self.cursor:
            return True
        if self.paused or event.seq != self.cursor + 1:
            return False
        if not self.sink.deliver(event):
            self.paused = True
            return False
        self.cursor = event.seq
        return True

    def offer_truth(self, event: E) -> bool:
        """The same for an event of the table, where what lies in between is known to be gone."""
        missing = event.seq - self.cursor - 1
        if missing > 0 and not self.paused:
            if not self.sink.gap(self.cursor + 1, event.seq - 1):
                self.paused = True
                return False
            self.cursor = event.seq - 1
        return self.offer(event)


class Feed(Generic[E]):
    """Everyone who follows one run.

    Attributes:
        finished: The run will have no further event: one of the terminal types was seen, or `finish` said so.
    """

    def __init__(self, *, terminal: frozenset[str]) -> None:
        self._terminal = terminal
        self._subscribers: dict[str, _Subscriber[E]] = {}
        self._behind: dict[str, None] = {}
        self.finished = False

    def __contains__(self, subscriber: str) -> bool:
        return subscriber in self._subscribers

    def __len__(self) -> int:
        return len(self._subscribers)

    @property
    def waiting(self) -> bool:
        """Whether `next_read` has something to read."""
        return bool(self._behind)

    def cursor(self, subscriber: str) -> int:
        """The last ``seq`` this subscriber was given."""
        return self._subscribers[subscriber].cursor

    def subscribe(self, subscriber: str, sink: Sink[E], *, after: int) -> None:
        """Follow the run from the event after ``after``; someone who follows already keeps their place."""
        if subscriber not in self._subscribers:
            self._subscribers[subscriber] = _Subscriber(sink, after)
            self._behind[subscriber] = None

    def unsubscribe(self, subscriber: str) -> None:
        """Stop following."""
        self._subscribers.pop(subscriber, None)
        self._behind.pop(subscriber, None)

    def live(self, event: E) -> None:
        """An event that was published: true, but neither complete nor in order."""
        self._note(event)
        for name, subscriber in self._subscribers.items():
            if not subscriber.offer(event) and not subscriber.paused:
                self._behind[name] = None

    def wake(self) -> None:
        """Something may have been missed: read for everyone, unless the run is known to be over."""
        if not self.finished:
            self._mark_behind(tuple(self._subscribers))

    def finish(self) -> None:
        """The run is over and the table holds all of it: one last read for everyone."""
        if not self.finished:
            self.finished = True
            self._mark_behind(tuple(self._subscribers))

    def resume(self, subscriber: str) -> None:
        """A subscriber whose sink had no room has room again."""
        paused = self._subscribers.get(subscriber)
        if paused is not None and paused.paused:
            paused.paused = False
            self._behind[subscriber] = None

    def next_read(self) -> TableRead | None:
        """What to read next, for the one who has waited longest and all who stand at the same place."""
        if not self._behind:
            return None
        after = self._subscribers[next(iter(self._behind))].cursor
        together = tuple(name for name in self._behind if self._subscribers[name].cursor == after)
        for name in together:
            del self._behind[name]
        return TableRead(after, together)

    def fill(self, read: TableRead, events: Sequence[E], *, more: bool) -> None:
        """A page of the table has come.

        Args:
            read: What was asked.
            events: Rows after ``read.after`` in order of ``seq``.
            more: The page was full, so there may be another.
        """
        for event in events:
            self._note(event)
        for name, subscriber in self._subscribers.items():
            if subscriber.cursor >= read.after:
                _fill(subscriber, events)
            if events and subscriber.cursor < events[-1].seq and not subscriber.paused:
                self._behind[name] = None
        if more:
            self._mark_behind(read.subscribers)

    def abandon(self, read: TableRead) -> None:
        """The page could not be read: ask again."""
        self._mark_behind(read.subscribers)

    def _mark_behind(self, names: Sequence[str]) -> None:
        for name in names:
            subscriber = self._subscribers.get(name)
            if subscriber is not None and not subscriber.paused:
                self._behind[name] = None

    def _note(self, event: E) -> None:
        self.finished = self.finished or event.type in self._terminal


def _fill(subscriber: _Subscriber[E], events: Sequence[E]) -> None:
    for event in events:
        if not subscriber.offer_truth(event):
            return
