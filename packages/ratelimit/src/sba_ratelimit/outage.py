"""What an outage is answered with, and how often it is spoken of."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

from sba_resilience.errors import RedisError, RedisUnavailable
from sba_telemetry import get_logger

RETRY_OUTAGE: Final = 1.0  # seconds a caller refused by an outage is asked to wait
SILENCE: Final = 1.0  # seconds between two lines in the log
_log = get_logger(__name__)


class Complaint:
    """Logs what goes wrong at every check, once a second at most; an outage is the client's to log.

    Args:
        about: What the line says.
        clock: Monotonic seconds.
    """

    __slots__ = ("_about", "_at", "_clock")

    def __init__(self, about: str, clock: Callable[[], float]) -> None:
        self._about = about
        self._clock = clock
        self._at = -math.inf

    def about(self, error: RedisError) -> None:
        """Log it, unless it is an outage or was logged just now."""
        if not isinstance(error, RedisUnavailable):
            self.say(str(error))

    def say(self, error: str) -> None:
        """Log it, unless something was logged just now."""
        now = self._clock()
        if now - self._at >= SILENCE:
            self._at = now
            _log.error(self._about, error=error)
