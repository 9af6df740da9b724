"""How calls to a project leave the process: each operation under its own guard, each failure by one name."""

from __future__ import annotations

import functools
import re
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar, cast

import httpx
from pydantic import TypeAdapter, ValidationError

from sba_resilience import Breaker, Bulkhead, Guard, GuardSnapshot, Retry, RetryBudget, retry_after_of
from sba_supabase.errors import (
    RemoteConflict,
    RemoteError,
    RemoteInvalid,
    RemoteMissing,
    RemoteRefused,
    RemoteUnavailable,
    ResultInvalid,
)

T = TypeVar("T")

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,99}")
_CLIENTS_OWN: Final = range(400, 500)
_LATER: Final = frozenset({408, 425, 429})
_BY_STATUS: Final[dict[int, type[RemoteError]]] = {
    401: RemoteRefused,
    403: RemoteRefused,
    404: RemoteMissing,
    409: RemoteConflict,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class CallRules:
    """What each operation's guard allows.

    Attributes:
        deadline: seconds for a whole call, its repetitions included.
        attempts: at most, of an idempotent call.
        failures: share of failed calls at which the operation is left alone.
        slow: seconds from which on a call counts as slow.
        slow_rate: share of slow calls at which the operation is left alone.
        open_for: seconds it is left alone.
        at_once: calls in flight.
        waiting: callers that wait for one to end.
        max_wait: seconds they wait.
    """

    deadline: float = 10.0
    attempts: int = 3
    failures: float = 0.5
    slow: float = 5.0
    slow_rate: float = 0.8
    open_for: float = 5.0
    at_once: int = 20
    waiting: int = 40
    max_wait: float = 1.0


class Guards:
    """The guards of one process, one for each operation, made when it is first called.

    Args:
        rules: of every operation that has none of its own.
        own: rules by operation, such as `rpc.search` or `functions.summarise`.
    """

    def __init__(self, rules: CallRules | None = None, *, own: dict[str, CallRules] | None = None) -> None:
        self._rules = rules or CallRules()
        self._own = dict(own or {})
        self._guards: dict[str, Guard] = {}
        self._budget = RetryBudget()

    def of(self, operation: str) -> Guard:
        """The guard of an operation.

        Args:
            operation: its name in the code, never one that a request brings: each is kept for good.

        Raises:
            ValueError: it can be no name.
        """
        guard = self._guards.get(operation)
        if guard is None:
            if not _NAME.fullmatch(operation):
                raise ValueError("an operation is named by letters, digits, dots, hyphens and underscores")
            guard = self._guards[operation] = self._make(operation)
        return guard

    def snapshots(self) -> list[GuardSnapshot]:
        """Each guard at this moment, for a readiness page."""
        return [guard.snapshot for guard in self._guards.values()]

    def _make(self, operation: str) -> Guard:
        rules, name = self._own.get(operation, self._rules), f"supabase.{operation}"
        return Guard(
            name,
            deadline=rules.deadline,
            retry=Retry(rules.attempts, retry_on=RemoteUnavailable, budget=self._budget, name=name),
            breaker=Breaker(
                name,
                failures=rules.failures,
                slow=rules.slow,
                slow_rate=rules.slow_rate,
                open_for=rules.open_for,
            ),
            bulkhead=Bulkhead(rules.at_once, rules.waiting, max_wait=rules.max_wait, name=name),
        )


class Declared(Generic[T]):
    """A remote operation, declared once and called in many places.

    Args:
        name: of the operation.
        returns: what it answers.
        guards: the process's.
        idempotent: it may safely run more than once.
    """

    def __init__(self, name: str, *, returns: type[T], guards: Guards, idempotent: bool = False) -> None:
        self.name = name
        self._returns = returns
        self._guards = guards
        self._idempotent = idempotent


async def guarded(guard: Guard, attempt: Callable[[], Awaitable[T]], *, idempotent: bool) -> T:
    """Make a call under a guard; only an idempotent one is repeated.

    Raises:
        RemoteError: what the project answered, or that it did not.
        ResilienceError: the guard did not let it through, or time ran out.
    """
    return await (guard.call_idempotent if idempotent else guard.call)(_named, attempt)


async def _named(attempt: Callable[[], Awaitable[T]]) -> T:
    """The attempt, whose failure to reach the project has our name."""
    try:
        return await attempt()
    except httpx.HTTPError as error:
        reason = type(error).__name__
    raise RemoteUnavailable(None, reason)


def refusal(status: int, reason: str, detail: str = "", *, asked: float = 0.0) -> RemoteError:
    """The error for an answer.

    Args:
        status: of HTTP.
        reason: the project's code for it.
        detail: its text, which may quote what the caller sent.
        asked: seconds it asked to be left alone.
    """
    if status in _LATER or status not in _CLIENTS_OWN:
        return RemoteUnavailable(status, reason, detail, retry_after=asked)
    return _BY_STATUS.get(status, RemoteInvalid)(status, reason, detail)


def patience_of(error: BaseException) -> float:
    """Seconds that an answer behind an error of Supabase's clients asked to be left alone."""
    return retry_after_of(error.__cause__ or error)


@functools.lru_cache(maxsize=256)
def _adapter(returns: Hashable) -> TypeAdapter[Any]:
    return TypeAdapter(cast("Any", returns))


def read(returns: type[T], content: bytes) -> T:
    """The result in an answer's JSON; an empty answer is null.

    Raises:
        ResultInvalid: it is of another shape.
    """
    adapter: TypeAdapter[T] = _adapter(cast("Hashable", returns))
    return read_by(adapter, content)


def read_by(adapter: TypeAdapter[T], content: bytes) -> T:
    """The result in an answer's JSON, by an adapter; an empty answer is null.

    Raises:
        ResultInvalid: it is of another shape.
    """
    try:
        result = adapter.validate_json(content or b"null")
    except ValidationError as error:
        places = tuple(".".join(map(str, problem["loc"])) for problem in error.errors(include_input=False))
    else:
        return result
    raise ResultInvalid(places)
