"""Connections whose every wait ends, also when the server is silent or the caller has gone."""

from __future__ import annotations

import asyncio
import select
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, LiteralString, TypeVar

import psycopg
from psycopg import AsyncConnection, waiting
from psycopg.abc import PQGen
from psycopg.adapt import Transformer
from psycopg.conninfo import make_conninfo
from psycopg.errors import _WaitTimeout
from psycopg.generators import execute
from psycopg.pq import ConnStatus, TransactionStatus
from psycopg.pq.abc import PGconn, PGresult
from psycopg.rows import AsyncRowFactory, dict_row

from sba_db.exchange import exchange, first_error
from sba_db.failures import ServerSilent
from sba_db.plans import Batch, Params, Plan, Planner, Row, require
from sba_db.settings import DatabaseSettings, milliseconds
from sba_db.slow import SlowStatements
from sba_db.statements import Statement, parse
from sba_db.urls import parameters_of

Call = tuple[LiteralString, Params]
RV = TypeVar("RV")

CANCEL_WAIT: Final = 1.0
LIMITS: Final[LiteralString] = (
    "select set_config('statement_timeout', %(statement)s, true), "
    "set_config('idle_in_transaction_session_timeout', %(idle)s, true)"
)
READ_ONLY: Final[LiteralString] = (
    "select set_config('statement_timeout', %(statement)s, true), "
    "set_config('transaction_read_only', 'on', true)"
)
"""For one message, in which no transaction can sit idle."""
SETTING: Final = b"select set_config("
HUNG_UP: Final = getattr(select, "POLLRDHUP", 0) | select.POLLHUP
OF_NO_MORE_USE: Final = (psycopg.errors.FeatureNotSupported, psycopg.errors.InvalidSqlStatementName)
"""What a connection says whose plans are stale, or whose server has become a standby."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the last statement sent came to: its rows, and how many it returned or touched."""

    rows: list[Row]
    count: int


class Connection(AsyncConnection[Row], ABC):
    """A psycopg connection with a limit on every round trip.

    A caller's cancellation is passed on to the server, so that the connection can be used again; a server
    that does not react to it loses the connection.

    Attributes:
        read_prelude: What makes an implicit transaction read-only and bounds its times, where the session's
            defaults do not.
        write_prelude: What bounds the times of a transaction that has begun, where they do not.
        slow: Whom to tell of statements that take long.
        time_limit: Longest wait for an answer, in seconds.
        idle_since: When it was last given back, by the monotonic clock.
        expires_at: When it is to be closed, by the monotonic clock.
    """

    read_prelude: tuple[Call, ...] = ()
    write_prelude: tuple[Call, ...] = ()
    slow: SlowStatements | None = None
    time_limit: float = 6.0
    idle_since: float = 0.0
    expires_at: float = float("inf")

    async def send(self, calls: Sequence[Call]) -> Answer:
        """Run statements in one round trip; the first failure keeps the rest from running.

        Args:
            calls: Statements with `%(name)s` placeholders, and what each binds.

        Returns:
            The last statement's answer.

        Raises:
            psycopg.Error: The first failure.
        """
        if self.slow is None:
            return await self._send(calls)
        began = self.slow.clock()
        rows, outcome = None, "ok"
        try:
            answer = await self._send(calls)
            rows = answer.count
        except BaseException as error:
            outcome = type(error).__name__
            raise
        else:
            return answer
        finally:
            seconds = self.slow.clock() - began
            if seconds >= self.slow.threshold:
                self.slow.note(calls[-1], seconds=seconds, rows=rows, outcome=outcome)

    @abstractmethod
    async def _send(self, calls: Sequence[Call]) -> Answer:
        """Run statements in one round trip, as `send` says."""

    async def wait(
        self,
        gen: PQGen[RV],
        interval: float = 0.0,  # noqa: ARG002 - the overridden method's argument
        timeout: float | None = None,  # noqa: ASYNC109 - the overridden method's argument
    ) -> RV:
        """Drive one exchange with the server to its end, within the time limit; psycopg's own seam."""
        limit = self.time_limit if timeout is None else timeout
        try:
            return await waiting.wait_async(gen, self.pgconn.socket, interval=limit, timeout=limit)
        except _WaitTimeout:
            self.pgconn.finish()
            raise ServerSilent("no answer from the server") from None
        except asyncio.CancelledError:
            if self.pgconn.transaction_status == TransactionStatus.ACTIVE:
                await self._abandon(gen)
            raise

    async def _abandon(self, gen: PQGen[RV]) -> None:
        try:
            await self.cancel_safe(timeout=CANCEL_WAIT)
            await waiting.wait_async(gen, self.pgconn.socket, interval=CANCEL_WAIT, timeout=CANCEL_WAIT)
        except psycopg.errors.QueryCanceled:
            return
        except BaseException as error:
            self.pgconn.finish()
            if not isinstance(error, Exception):
                raise

    def _noted(self, error: psycopg.Error) -> psycopg.Error:
        if isinstance(error, OF_NO_MORE_USE):
            self.expires_at = 0.0
        return error

    def alive(self) -> bool:
        """Whether an idle connection still stands: a server that has nothing to say has not hung up."""
        if self.pgconn.status != ConnStatus.OK:
            return False
        poll = select.poll()
        poll.register(self.pgconn.socket, select.POLLIN)
        return not poll.poll(0)

    def hung_up(self) -> bool:
        """Whether the server has ended the connection and heard nothing more from here."""
        if self.pgconn.status != ConnStatus.OK:
            return True
        poll = select.poll()
        poll.register(self.pgconn.socket, HUNG_UP)
        return bool(poll.poll(0))

    @property
    def reusable(self) -> bool:
        """Whether the next borrower would find it clean."""
        return self.pgconn.transaction_status == TransactionStatus.IDLE and time.monotonic() < self.expires_at

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open, failed or not."""
        return self.pgconn.transaction_status in {TransactionStatus.INTRANS, TransactionStatus.INERROR}


class DirectConnection(Connection):
    """Straight to Postgres: pipelines and prepared statements.

    Transactions are read-only unless they begin otherwise: `options` says so.
    """

    def __init__(self, pgconn: PGconn, row_factory: AsyncRowFactory[Row] = dict_row) -> None:
        super().__init__(pgconn, row_factory)
        self._planner = Planner(self, pgconn)

    async def _send(self, calls: Sequence[Call]) -> Answer:
        batch = self._planner.batch(calls)
        results = await self._exchanged(batch)
        error = first_error(self.pgconn, results)
        if error is None:
            last = results[-1]
            return Answer(batch.plan.rows(self._planner.transformer, last), last.command_tuples or 0)
        raise self._noted(error)

    async def _exchanged(self, batch: Batch) -> list[PGresult]:
        """The answers; also of a server that says why it ends the connection, and ends it."""
        results: list[PGresult] = []
        try:
            await self.wait(exchange(self.pgconn, batch.commands, results))
        except ServerSilent:
            raise
        except psycopg.OperationalError:
            last_words = first_error(self.pgconn, results)
            if last_words is None or last_words.sqlstate is None:
                raise
        finally:
            self._planner.settle(batch, results)
        return results


class PooledConnection(Connection):
    """Through a transaction pooler: bound here, sent as one string, nothing kept on the server."""

    def __init__(self, pgconn: PGconn, row_factory: AsyncRowFactory[Row] = dict_row) -> None:
        super().__init__(pgconn, row_factory)
        self._transformer = Transformer(self)

    async def _send(self, calls: Sequence[Call]) -> Answer:
        self.pgconn.send_query(self._bound(calls))
        results = await self.wait(execute(self.pgconn))
        error = first_error(self.pgconn, results)
        if error is not None:
            raise self._noted(error)
        last = results[-1]
        return Answer(Plan().rows(self._transformer, last), last.command_tuples or 0)

    def _bound(self, calls: Sequence[Call]) -> bytes:
        try:
            texts = [self._literal(parse(query), params) for query, params in calls]
        except UnicodeEncodeError:
            raise psycopg.DataError("text that is not valid Unicode") from None
        return b"\n; ".join(_settings_together(texts))

    def _literal(self, statement: Statement, params: Params) -> bytes:
        require(statement.names, params)
        values = [params[name] for name in statement.order]
        return statement.template % tuple(map(_closed, map(self._transformer.as_literal, values)))


def _closed(literal: bytes) -> bytes:
    """The literal, so that a cast after it is of a negative number and not of what follows its sign."""
    return b"(%b)" % literal if literal.startswith((b" -", b"-")) else literal


def _settings_together(texts: Sequence[bytes]) -> list[bytes]:
    """The same statements, as one those before the last that follow each other and only make settings."""
    together: list[bytes] = []
    for text in texts[:-1]:
        if together and text.startswith(SETTING) and together[-1].startswith(SETTING):
            together[-1] += b", " + text.removeprefix(b"select ")
        else:
            together.append(text)
    return [*together, texts[-1]]


class Connector:
    """Makes connections as the settings say.

    Args:
        settings: Where to, and the limits on the way.
        slow: Whom the connections tell of statements that take long.
    """

    __slots__ = ("_conninfo", "_kind", "_limits", "_settings", "_slow")

    def __init__(self, settings: DatabaseSettings, slow: SlowStatements | None = None) -> None:
        self._settings = settings
        self._slow = slow
        self._conninfo = _conninfo(settings)
        self._kind: type[Connection] = PooledConnection if settings.pooler else DirectConnection
        self._limits = {
            "statement": str(milliseconds(settings.statement_timeout)),
            "idle": str(milliseconds(settings.idle_timeout)),
        }

    async def __call__(self) -> Connection:
        """Connect, within `connect_timeout` seconds.

        Raises:
            psycopg.Error: Not reachable.
        """
        try:
            async with asyncio.timeout(self._settings.connect_timeout):
                connection = await self._kind.connect(
                    self._conninfo, autocommit=True, row_factory=dict_row, prepare_threshold=None
                )
        except TimeoutError:
            raise psycopg.OperationalError("connecting took too long") from None
        if self._settings.pooler:
            connection.read_prelude = ((READ_ONLY, self._limits),)
            connection.write_prelude = ((LIMITS, self._limits),)
        connection.slow = self._slow
        connection.time_limit = self._settings.statement_timeout + self._settings.grace
        return connection


def _conninfo(settings: DatabaseSettings) -> str:
    given = parameters_of(settings.url)
    given |= {"application_name": settings.application_name, "client_encoding": "UTF8"}
    if given.get("target_session_attrs") == "read-write":
        given["target_session_attrs"] = "primary"
    if not settings.pooler:
        given["options"] = f"{given.get('options') or ''} {_options(settings)}".strip()
    return make_conninfo("", **given)


def _options(settings: DatabaseSettings) -> str:
    parameters = {
        "statement_timeout": milliseconds(settings.statement_timeout),
        "idle_in_transaction_session_timeout": milliseconds(settings.idle_timeout),
        "default_transaction_read_only": "on",
        "timezone": "UTC",
    }
    return " ".join(f"-c {name}={value}" for name, value in parameters.items())
