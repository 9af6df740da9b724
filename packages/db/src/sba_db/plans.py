"""What one connection knows of its statements: which are prepared, and the columns they answer with."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final

import psycopg
from psycopg import adapt
from psycopg.abc import AdaptContext, Buffer, Transformer
from psycopg.pq import ExecStatus
from psycopg.pq.abc import PGconn, PGresult

from sba_db.errors import StatementRefused
from sba_db.exchange import Command
from sba_db.statements import parse

Row = dict[str, Any]
Params = Mapping[str, object]

MOST_PREPARED: Final = 256
PREPARE_AT_USE: Final = 2


class Plan:
    """One statement with one set of parameter types."""

    __slots__ = ("columns", "name", "uses")

    def __init__(self) -> None:
        self.name = b""
        self.uses = 0
        self.columns: tuple[str, ...] = ()

    def rows(self, transformer: Transformer, result: PGresult) -> list[Row]:
        """The result's rows as dictionaries."""
        if not result.ntuples:
            return []
        if not self.columns:
            self.columns = tuple(_columns(result))
        columns = self.columns
        transformer.set_pgresult(result)
        return transformer.load_rows(
            0, result.ntuples, lambda values: dict(zip(columns, values, strict=True))
        )


class Planner:
    """The statements of one connection; each is prepared when it comes a second time."""

    __slots__ = ("_names", "_pgconn", "_plans", "_prepared", "transformer")

    def __init__(self, context: AdaptContext, pgconn: PGconn) -> None:
        self._pgconn = pgconn
        self._plans: dict[tuple[bytes, tuple[int, ...]], Plan] = {}
        self._names = itertools.count(1)
        self._prepared = 0
        self.transformer: Transformer = adapt.Transformer(context)

    def batch(self, calls: Sequence[tuple[str, Params]]) -> Batch:
        """The messages that run the calls in order.

        Raises:
            StatementRefused: A parameter is missing.
            psycopg.Error: A value that cannot be sent.
        """
        batch = Batch()
        for query, params in calls:
            batch.plan = self._add(batch, query, params)
        return batch

    def settle(self, batch: Batch, results: Sequence[PGresult]) -> None:
        """Take note of what the server has prepared; what it skipped stays unprepared, and takes no room."""
        for place, plan, name in batch.preparing:
            if place < len(results) and results[place].status == ExecStatus.COMMAND_OK:
                plan.name = name
                self._prepared += 1

    def _add(self, batch: Batch, query: str, params: Params) -> Plan:
        statement = parse(query)
        values = self._values(statement.names, params)
        types = self.transformer.types if values else ()
        formats = self.transformer.formats if values else ()
        plan = self._plans.setdefault((statement.sql, types or ()), Plan())
        name = plan.name or self._prepare(batch, plan, statement.sql, types)
        if name:
            batch.commands.append(partial(self._pgconn.send_query_prepared, name, values, formats))
        else:
            batch.commands.append(
                partial(self._pgconn.send_query_params, statement.sql, values, types, formats)
            )
        return plan

    def _values(self, names: tuple[str, ...], params: Params) -> Sequence[Buffer | None]:
        try:
            return self.transformer.dump_sequence(
                [params[name] for name in names], [adapt.PyFormat.AUTO] * len(names)
            )
        except KeyError:
            require(names, params)
            raise
        except UnicodeEncodeError:
            raise psycopg.DataError("text that is not valid Unicode") from None

    def _prepare(self, batch: Batch, plan: Plan, sql: bytes, types: tuple[int, ...] | None) -> bytes:
        plan.uses += 1
        if plan.uses < PREPARE_AT_USE or self._prepared >= MOST_PREPARED:
            return b""
        name = b"sba_%d" % next(self._names)
        batch.preparing.append((len(batch.commands), plan, name))
        batch.commands.append(partial(self._pgconn.send_prepare, name, sql, types))
        return name


class Batch:
    """The messages of one exchange, and which of them prepare what."""

    __slots__ = ("commands", "plan", "preparing")

    def __init__(self) -> None:
        self.commands: list[Command] = []
        self.preparing: list[tuple[int, Plan, bytes]] = []
        self.plan = Plan()


def require(names: Sequence[str], params: Params) -> None:
    """Check that a statement's parameters are all given.

    Raises:
        StatementRefused: One is missing.
    """
    for name in names:
        if name not in params:
            raise StatementRefused(f"the parameter {name!r} is not given")


def _columns(result: PGresult) -> list[str]:
    return [(result.fname(at) or b"").decode() for at in range(result.nfields)]
