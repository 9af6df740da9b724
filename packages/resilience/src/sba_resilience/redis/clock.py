"""What time it is on the server, by our own monotonic clock."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from sba_resilience.redis.words import Reply

DRIFT = 5e-4  # seconds two clocks may part per second: the most an NTP daemon slews
REFRESH_AFTER = 60.0  # seconds after which the difference is to be learnt again


class Sample(NamedTuple):
    """One answer to TIME.

    Attributes:
        at: The server's unix seconds.
        sent: Our clock when the question left.
        received: Our clock when the answer was read.
    """

    at: float
    sent: float
    received: float

    @classmethod
    def of(cls, reply: Reply, sent: float, received: float) -> Sample | None:
        """Read the reply to TIME, unix seconds and microseconds; None when it is anything else."""
        match reply:
            case [bytes(seconds), bytes(micros)]:
                return cls(int(seconds) + int(micros) / 1e6, sent, received)
            case _:
                return None

    @property
    def offset(self) -> float:
        """What to add to our clock; the server answered somewhere between the two readings."""
        return self.at - (self.sent + self.received) / 2

    @property
    def error(self) -> float:
        """Seconds the offset may be wrong by."""
        return (self.received - self.sent) / 2


@dataclass(slots=True)
class ServerClock:
    """The server's time, from the most exact answer of late.

    An answer replaces the one in use when it is more exact than that one is by now, or when the two
    contradict each other: then the server's clock was set, or another server answers.

    Args:
        clock: Monotonic seconds.
    """

    clock: Callable[[], float]
    _sample: Sample | None = None
    _asked: float = -math.inf

    def now(self) -> float | None:
        """The server's unix seconds, or None while no answer has come."""
        return None if self._sample is None else self.clock() + self._sample.offset

    def learn(self, sample: Sample | None) -> None:
        """Take an answer into account, if it is one."""
        if sample is None:
            return
        self._asked = sample.received
        if self._sample is None or self._is_better(sample, self._sample):
            self._sample = sample

    def due(self) -> bool:
        """Whether to ask again; true once per `REFRESH_AFTER`."""
        now = self.clock()
        if now - self._asked < REFRESH_AFTER:
            return False
        self._asked = now
        return True

    @staticmethod
    def _is_better(new: Sample, used: Sample) -> bool:
        worn = used.error + DRIFT * (new.received - used.received)
        return new.error <= worn or abs(new.offset - used.offset) > new.error + worn
