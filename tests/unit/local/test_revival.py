"""When a part that ended is started again, and when no more."""

import asyncio

from sba_local.errors import PortTaken, ServiceFailed
from sba_local.revival import Rules, keep_up


class Mortal:
    """A part that ends as told: after so many seconds, or an error instead of a start."""

    def __init__(self, clock, *lives):
        self.clock = clock
        self.lives = list(lives)
        self.starts = 0

    def has_ended(self):
        return False

    async def failure(self):
        if not self.lives:
            await asyncio.Event().wait()
        self.clock.now += self.lives.pop(0)
        return ServiceFailed("svc", "ended with status 1", status=1, lines="one\ntwo\n3\n4\n5\n6")

    async def restart(self):
        self.starts += 1
        if self.lives and isinstance(self.lives[0], Exception):
            raise self.lives.pop(0)


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


class Pauses(list):
    """Stands for asyncio.sleep."""

    def __init__(self, clock):
        super().__init__()
        self.clock = clock

    async def __call__(self, seconds):
        self.append(seconds)
        self.clock.now += seconds


async def outcome(monkeypatch, *lives, rules=None):
    clock = Clock()
    pauses, heard, part = Pauses(clock), [], Mortal(clock, *lives)
    with monkeypatch.context() as patched:
        patched.setattr("sba_local.revival.asyncio.sleep", pauses)
        said = await keep_up(part, rules or Rules(), lambda *line: heard.append(line), clock=clock)
    return said, part, pauses, heard


async def test_the_sixth_end_within_a_minute_is_the_last_and_pauses_grow_to_their_bound(monkeypatch):
    said, part, pauses, _ = await outcome(monkeypatch, *[0.0] * 6)
    assert said.service == "svc"
    assert part.starts == 5
    assert pauses == [1.0, 2.0, 4.0, 8.0, 10.0]


async def test_one_that_lived_for_a_while_is_back_soon_and_not_counted_for_ever(monkeypatch):
    said, part, pauses, _ = await outcome(monkeypatch, *[30.0] * 20, *[0.0] * 6)
    assert part.starts > 20
    assert set(pauses[:20]) == {1.0}
    assert said.status == 1


async def test_a_start_that_fails_counts_as_an_end(monkeypatch):
    taken = PortTaken(1, wanted_for="svc")
    said, part, _, heard = await outcome(monkeypatch, 0.0, taken, taken, rules=Rules(most=2))
    assert said is taken
    assert part.starts == 2
    assert ("stack", f"{taken}; starting it again") in heard


async def test_what_is_said_has_the_last_lines(monkeypatch):
    _, _, _, heard = await outcome(monkeypatch, 0.0, 0.0, rules=Rules(most=1))
    assert heard == [
        ("stack", "svc ended with status 1; starting it again"),
        *(("stack", f"  {line}") for line in ("two", "3", "4", "5", "6")),
    ]
