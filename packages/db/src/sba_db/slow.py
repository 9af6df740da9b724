"""Statements that took too long: logged by shape, never with a value, and on request with their plan."""

from __future__ import annotations

import asyncio
import functools
import hashlib
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final, LiteralString

import psycopg

from sba_db.errors import DatabaseError
from sba_telemetry import get_logger, tally

SentStatement = tuple[LiteralString, Mapping[str, object]]
Explain = Callable[[SentStatement], Awaitable[str]]

NO_METHOD: Final = "none"
LINE_EVERY: Final = 1.0
PLAN_EVERY: Final = 60.0
LONGEST_SHAPE: Final = 500

current_method: ContextVar[str] = ContextVar("sba_db_method", default=NO_METHOD)
"""The repository method that the statement is sent by."""

_log = get_logger(__name__)
_slow = tally("sba.db.slow_statements", description="Statements over the threshold, by method.")

_TEXT: Final = re.compile(r"'(?:[^']|'')*'")
_NUMBER: Final = re.compile(r"(?<![\w$.])-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?(?![\w.])")
_PLANNED: Final = re.compile(r"\s*(?:select|with|insert|update|delete)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Shape:
    """A statement without its values.

    Attributes:
        text: On one line, with `?` for each constant and `%(name)s` for each parameter; cut when it is long.
        fingerprint: 12 hexadecimal digits, the same for statements that differ in constants only.
    """

    text: str
    fingerprint: str


@functools.lru_cache(maxsize=1024)
def shape_of(query: str) -> Shape:
    """The shape of a statement."""
    text = _without_constants(" ".join(query.split()))
    return Shape(text[:LONGEST_SHAPE], hashlib.sha256(text.encode()).hexdigest()[:12])


def without_values(plan: str) -> str:
    """A plan as text, with `?` for the constants that Postgres shows in its conditions.

    Costs and estimates stay: they stand in lines of their own, the ones of the plan's nodes.
    """
    lines = _TEXT.sub("?", plan).splitlines()
    return "\n".join(line if "(cost=" in line else _NUMBER.sub("?", line) for line in lines)


def _without_constants(text: str) -> str:
    return _NUMBER.sub("?", _TEXT.sub("?", text))


class SlowStatements:
    """Writes one line about a slow statement, and asks for its plan in the background.

    A method is reported at most once a second, and its line says how many were left out; its plan is asked
    for at most once a minute, and never two plans at a time.

    Args:
        threshold: Seconds from which a statement is slow.
        explain: Answers a statement's plan; None to ask for none.
        clock: Monotonic seconds.
    """

    __slots__ = ("_asking", "_explain", "_explained", "_left_out", "_told", "clock", "threshold")

    def __init__(
        self,
        threshold: float,
        *,
        explain: Explain | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.threshold = threshold
        self.clock = clock
        self._explain = explain
        self._told: dict[str, float] = {}
        self._left_out: dict[str, int] = {}
        self._explained: dict[str, float] = {}
        self._asking: asyncio.Task[None] | None = None

    def note(self, statement: SentStatement, *, seconds: float, rows: int | None, outcome: str) -> None:
        """Report a statement that took at least the threshold.

        Args:
            statement: What was sent, and what it bound.
            seconds: From sending to the whole answer.
            rows: Returned or touched; None when it failed.
            outcome: `ok`, or the kind of error.
        """
        method = current_method.get()
        _slow.cell({"method": method}).count += 1
        if not self._due(self._told, method, LINE_EVERY):
            self._left_out[method] = self._left_out.get(method, 0) + 1
            return
        shape = shape_of(statement[0])
        _log.warning(
            "slow_statement",
            method=method,
            milliseconds=round(seconds * 1000),
            rows=rows,
            outcome=outcome,
            fingerprint=shape.fingerprint,
            statement=shape.text,
            left_out=self._left_out.pop(method, 0),
        )
        self._ask(statement, method, shape)

    async def close(self) -> None:
        """Give up the plan that is being asked for."""
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.gather(self._asking, return_exceptions=True)

    def _due(self, last: dict[str, float], method: str, every: float) -> bool:
        now = self.clock()
        if now - last.get(method, float("-inf")) < every:
            return False
        last[method] = now
        return True

    def _ask(self, statement: SentStatement, method: str, shape: Shape) -> None:
        busy = self._asking is not None and not self._asking.done()
        if self._explain is None or busy or not _PLANNED.match(statement[0]):
            return
        if self._due(self._explained, method, PLAN_EVERY):
            self._asking = asyncio.create_task(self._tell_plan(self._explain, statement, method, shape))

    async def _tell_plan(self, explain: Explain, statement: SentStatement, method: str, shape: Shape) -> None:
        try:
            plan = without_values(await explain(statement))
        except (DatabaseError, psycopg.Error) as error:
            _log.warning("slow_statement_not_explained", method=method, reason=type(error).__name__)
            return
        _log.warning("slow_statement_plan", method=method, fingerprint=shape.fingerprint, plan=plan)
