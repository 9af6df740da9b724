"""What every repository method carries: a guard, a span, and figures by method and outcome."""

from __future__ import annotations

import asyncio
import functools
import inspect
import time
from collections.abc import Callable, Coroutine, Mapping
from types import MappingProxyType
from typing import Any, Concatenate, Final, ParamSpec, TypeVar

from opentelemetry.trace import Span

from sba_db.database import Database
from sba_db.errors import (
    DatabaseError,
    DatabaseTimeout,
    DatabaseUnavailable,
    PoolExhausted,
    StatementFailed,
    StatementRefused,
    TransactionConflict,
)
from sba_db.models import Lease, Page
from sba_db.sessions import ReadSession
from sba_db.slow import current_method
from sba_resilience import Deadline
from sba_telemetry import histogram, tally
from sba_telemetry.traces import span

P = ParamSpec("P")
R = TypeVar("R")
S = TypeVar("S", bound=ReadSession)
D = TypeVar("D", bound=Database)

_OUTCOMES: Final[tuple[tuple[type[BaseException], str], ...]] = (
    (PoolExhausted, "exhausted"),
    (DatabaseUnavailable, "unavailable"),
    (DatabaseTimeout, "timeout"),
    (TransactionConflict, "conflict"),
    (StatementFailed, "failed"),
    (StatementRefused, "failed"),
    (DatabaseError, "refused"),
    (asyncio.CancelledError, "cancelled"),
    (BaseException, "failed"),
)
_calls = tally("sba.db.calls", description="Calls of repository methods, by method and outcome.")
_seconds = histogram(
    "sba.db.duration", unit="s", description="Calls of repository methods, by method and outcome."
)


def outcome_of(error: BaseException) -> str:
    """How a call that raised this ended.

    `exhausted`, `unavailable`, `timeout` and `conflict` speak of the database, `failed` of a defect here,
    and `refused` of what was asked: not there, not allowed, not in time.
    """
    return next(outcome for kind, outcome in _OUTCOMES if isinstance(error, kind))


class _Figures:
    """The figures of one method."""

    __slots__ = ("_cells", "_labels")

    def __init__(self, method: str) -> None:
        outcomes = {"ok", *(outcome for _, outcome in _OUTCOMES)}
        self._labels = {outcome: {"method": method, "outcome": outcome} for outcome in outcomes}
        self._cells = {outcome: _calls.cell(labels) for outcome, labels in self._labels.items()}

    def count(self, outcome: str, seconds: float) -> None:
        self._cells[outcome].count += 1
        _seconds.record(seconds, self._labels[outcome])


class _Description:
    """What the span of one method says."""

    __slots__ = ("_run_at", "attributes", "name")

    def __init__(self, function: Callable[..., Any]) -> None:
        table, operation = function.__module__.rpartition(".")[2], function.__name__
        self.name = f"{table}.{operation}"
        self.attributes: Mapping[str, str] = MappingProxyType(
            {
                "db.system.name": "postgresql",
                "db.collection.name": table,
                "db.operation.name": operation,
                "db.query.summary": self.name,
            }
        )
        names = list(inspect.signature(function).parameters)
        self._run_at = names.index("run_id") - 1 if "run_id" in names else -1

    def ask(self, on: Span, tenant_id: object, args: tuple[object, ...], named: Mapping[str, object]) -> None:
        """Say whose call it is; jobs and users are on the span by the bound context."""
        if tenant_id is not None:
            on.set_attribute("sba.tenant_id", str(tenant_id))
        lease = named.get("lease")
        run = lease.run_id if isinstance(lease, Lease) else named.get("run_id")
        if run is None and 0 <= self._run_at < len(args):
            run = args[self._run_at]
        if run is not None:
            on.set_attribute("sba.run_id", str(run))

    async def follow(self, on: Span, call: Coroutine[Any, Any, R]) -> R:
        """Run the call, and say how many rows it came to, or which code the server gave."""
        try:
            result = await call
        except BaseException as error:
            code = getattr(error, "sqlstate", None)
            if isinstance(code, str):
                on.set_attribute("db.response.status_code", code)
            raise
        rows = result.items if isinstance(result, Page) else result
        if isinstance(rows, list | tuple):
            on.set_attribute("db.response.returned_rows", len(rows))
        return result


Method = Callable[Concatenate[S, P], Coroutine[Any, Any, R]]
PlatformMethod = Callable[Concatenate[D, P], Coroutine[Any, Any, R]]


def repository_method(function: Method[S, P, R]) -> Method[S, P, R]:
    """Guard, trace and count a method that reads or writes a tenant's rows.

    It is not begun without a tenant's session, nor after the current `Deadline`. It is counted and timed in
    `sba.db.calls` and `sba.db.duration`, and traced as `<table>.<method>`; slow statements name it.

    Raises:
        StatementRefused: When called: what it was given is no tenant's session.
        DeadlineExceeded: When called: too late.
    """
    described = _Description(function)
    observed = _observed(function, described)

    @functools.wraps(function)
    async def guarded(session: S, /, *args: P.args, **kwargs: P.kwargs) -> R:
        tenant_id = getattr(session, "tenant_id", None)
        if tenant_id is None:
            raise StatementRefused(f"{described.name} needs a session of a tenant")
        return await observed(tenant_id, session, args, kwargs)

    return guarded


def platform_method(function: PlatformMethod[D, P, R]) -> PlatformMethod[D, P, R]:
    """As `repository_method`, for rows that belong to no tenant; it takes the database itself."""
    observed = _observed(function, _Description(function))

    @functools.wraps(function)
    async def guarded(database: D, /, *args: P.args, **kwargs: P.kwargs) -> R:
        return await observed(None, database, args, kwargs)

    return guarded


_Observed = Callable[[object, Any, tuple[object, ...], Mapping[str, object]], Coroutine[Any, Any, R]]


def _observed(function: Callable[..., Coroutine[Any, Any, R]], described: _Description) -> _Observed[R]:
    name, attributes, figures = described.name, described.attributes, _Figures(described.name)

    async def observed(
        tenant_id: object, session: object, args: tuple[object, ...], kwargs: Mapping[str, object]
    ) -> R:
        deadline = Deadline.current()
        if deadline is not None:
            deadline.check()
        began = time.perf_counter()
        method = current_method.set(name)
        outcome = "ok"
        try:
            with span(name, kind="client", attributes=attributes) as current:
                if not current.is_recording():
                    return await function(session, *args, **kwargs)
                described.ask(current, tenant_id, args, kwargs)
                return await described.follow(current, function(session, *args, **kwargs))
        except BaseException as error:
            outcome = outcome_of(error)
            raise
        finally:
            current_method.reset(method)
            figures.count(outcome, time.perf_counter() - began)

    return observed
