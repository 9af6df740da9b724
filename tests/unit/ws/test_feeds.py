"""Whatever order wakes, repeats, losses and reads come in, each subscriber gets 1..n exactly once."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from sba_ws.feeds import Feed, TableRead

PAGE = 3


@dataclass(frozen=True, slots=True)
class Event:
    seq: int
    type: str = "step"


@dataclass
class Sink:
    """Has room for so many, then none until it is emptied."""

    room: int = 10**9
    got: list[int] = field(default_factory=list)
    gaps: list[tuple[int, int]] = field(default_factory=list)

    def deliver(self, event: Event) -> bool:
        if self.room <= 0:
            return False
        self.room -= 1
        self.got.append(event.seq)
        return True

    def gap(self, first: int, last: int) -> bool:
        if self.room <= 0:
            return False
        self.room -= 1
        self.gaps.append((first, last))
        self.got.extend(range(first, last + 1))
        return True


def feed() -> Feed[Event]:
    return Feed(terminal=frozenset({"end"}))


def read_all(subject: Feed[Event], table: list[Event]) -> int:
    """Read until nobody is behind; how many reads it took."""
    reads = 0
    while (read := subject.next_read()) is not None:
        page = [event for event in table if event.seq > read.after][:PAGE]
        subject.fill(read, page, more=len(page) == PAGE)
        reads += 1
    return reads


class Interleavings(RuleBasedStateMachine):
    """A publisher, a lossy stream, a table that is read slowly, and subscribers who come, go and stall."""

    def __init__(self) -> None:
        super().__init__()
        self.feed = feed()
        self.table: list[Event] = []
        self.removed: set[int] = set()
        self.reading: list[tuple[TableRead, list[Event]]] = []
        self.sinks: dict[str, tuple[Sink, int]] = {}
        self.names = 0

    @initialize(already=st.integers(0, 8))
    def history(self, already: int) -> None:
        for _ in range(already):
            self.commit()

    def commit(self, kind: str = "step") -> Event:
        event = Event(len(self.table) + 1, kind)
        self.table.append(event)
        return event

    @property
    def over(self) -> bool:
        return bool(self.table) and self.table[-1].type == "end"

    @precondition(lambda self: not self.over)
    @rule(carried=st.booleans(), kind=st.sampled_from(["step"] * 9 + ["end"]))
    def append(self, *, carried: bool, kind: str) -> None:
        event = self.commit(kind)
        if carried:
            self.feed.live(event)

    @precondition(lambda self: self.table)
    @rule(data=st.data())
    def carry_again(self, data: st.DataObject) -> None:
        self.feed.live(data.draw(st.sampled_from(self.table)))

    @rule(data=st.data(), room=st.sampled_from([1, 2, 5, 10**9]))
    def subscribe(self, data: st.DataObject, room: int) -> None:
        self.names += 1
        after = data.draw(st.integers(0, len(self.table)))
        sink = Sink(room)
        self.sinks[name := f"s{self.names}"] = (sink, after)
        self.feed.subscribe(name, sink, after=after)
        if self.over:
            self.feed.finish()

    @precondition(lambda self: self.sinks)
    @rule(data=st.data())
    def subscribe_again(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.sinks)))
        self.feed.subscribe(name, self.sinks[name][0], after=0)

    @precondition(lambda self: self.sinks)
    @rule(data=st.data())
    def unsubscribe(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.sinks)))
        del self.sinks[name]
        self.feed.unsubscribe(name)

    @precondition(lambda self: self.sinks)
    @rule(data=st.data(), room=st.integers(1, 4))
    def drain(self, data: st.DataObject, room: int) -> None:
        name = data.draw(st.sampled_from(sorted(self.sinks)))
        self.sinks[name][0].room = room
        self.feed.resume(name)

    @rule()
    def wake(self) -> None:
        self.feed.wake()

    @rule()
    def begin_read(self) -> None:
        read = self.feed.next_read()
        if read is not None:
            self.reading.append((read, [event for event in self.table if event.seq > read.after][:PAGE]))

    @precondition(lambda self: self.reading)
    @rule(fails=st.booleans())
    def end_read(self, *, fails: bool) -> None:
        read, page = self.reading.pop(0)
        if fails:
            self.feed.abandon(read)
        else:
            self.feed.fill(read, page, more=len(page) == PAGE)

    @invariant()
    def each_sink_has_a_dense_beginning(self) -> None:
        for name, (sink, after) in self.sinks.items():
            assert sink.got == list(range(after + 1, after + 1 + len(sink.got)))
            assert self.feed.cursor(name) == after + len(sink.got)
            assert sink.gaps == []

    def teardown(self) -> None:
        while self.reading:
            self.end_read(fails=True)
        for name, (sink, _) in self.sinks.items():
            sink.room = 10**9
            self.feed.resume(name)
        self.feed.wake()
        read_all(self.feed, self.table)
        for sink, after in self.sinks.values():
            assert sink.got == list(range(after + 1, len(self.table) + 1))


TestInterleavings = Interleavings.TestCase


def test_everyone_at_the_same_place_shares_one_read() -> None:
    subject, table = feed(), [Event(seq) for seq in range(1, 3)]
    sinks = [Sink() for _ in range(5)]
    for number, sink in enumerate(sinks):
        subject.subscribe(str(number), sink, after=0)
    assert read_all(subject, table) == 1
    subject.wake()
    assert read_all(subject, table) == 1
    assert [sink.got for sink in sinks] == [[1, 2]] * 5


def test_an_event_that_is_the_next_one_needs_no_read() -> None:
    subject, sink = feed(), Sink()
    subject.subscribe("s", sink, after=0)
    read_all(subject, [])
    subject.live(Event(1))
    assert not subject.waiting
    subject.live(Event(3))
    assert subject.waiting
    assert sink.got == [1]


def test_a_long_replay_does_not_hold_up_those_who_are_further() -> None:
    subject, table = feed(), [Event(seq) for seq in range(1, 50)]
    slow, near = Sink(), Sink()
    subject.subscribe("slow", slow, after=0)
    subject.subscribe("near", near, after=47)
    for _ in range(2):
        read = subject.next_read()
        assert read is not None
        page = [event for event in table if event.seq > read.after][:PAGE]
        subject.fill(read, page, more=len(page) == PAGE)
    assert near.got == [48, 49]
    assert slow.got == [1, 2, 3]


def test_a_finished_run_is_not_read_again_and_its_stragglers_are_served_first() -> None:
    subject, table = feed(), [Event(1), Event(2), Event(3, "end")]
    straggler, late = Sink(), Sink()
    subject.subscribe("straggler", straggler, after=0)
    read_all(subject, table[:1])
    subject.subscribe("late", late, after=2)
    read_all(subject, table)
    assert subject.finished
    assert (straggler.got, late.got) == ([1, 2, 3], [3])
    subject.wake()
    assert not subject.waiting
    subject.finish()
    assert not subject.waiting


def test_rows_that_are_gone_from_the_table_are_a_gap_told_once() -> None:
    subject, sink = feed(), Sink(room=1)
    subject.subscribe("s", sink, after=1)
    table = [Event(4), Event(7)]
    read_all(subject, table)
    assert (sink.gaps, sink.got) == ([(2, 3)], [2, 3])
    for _ in range(3):
        sink.room = 1
        subject.resume("s")
        read_all(subject, table)
    assert sink.gaps == [(2, 3), (5, 6)]
    assert sink.got == [2, 3, 4, 5, 6, 7]


def test_a_subscriber_that_has_left_is_forgotten() -> None:
    subject = feed()
    subject.subscribe("s", Sink(), after=0)
    read = subject.next_read()
    assert read is not None
    subject.unsubscribe("s")
    subject.unsubscribe("s")
    subject.abandon(read)
    subject.resume("s")
    subject.fill(read, [Event(1)], more=True)
    assert (len(subject), "s" in subject, subject.waiting) == (0, False, False)
