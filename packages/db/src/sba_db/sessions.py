"""The two ways to a tenant's rows: a reader, one round trip a call, and a transaction."""

from __future__ import annotations

from typing import Final, LiteralString, Protocol
from uuid import UUID

import psycopg

from sba_db.connection import Answer, Call, Connection
from sba_db.errors import DatabaseUnavailable, StatementRefused, TenantFilterMissing
from sba_db.failures import SOON, translate
from sba_db.plans import Params, Row
from sba_db.pool import Pool
from sba_db.statements import FILTER, parse

SET_TENANT: Final[LiteralString] = "select set_config('app.tenant_id', %(tenant)s::text, true)"
COMMIT: Final[Call] = ("commit", {})
ROLLBACK: Final[Call] = ("rollback", {})


class ReadSession(Protocol):
    """What reads a tenant's rows: `Reader` and `TenantSession` alike."""

    @property
    def tenant_id(self) -> UUID:
        """The tenant whose rows are seen."""
        ...

    async def fetch_one(self, query: LiteralString, params: Params | None = None) -> Row | None:
        """The first row, or None."""
        ...

    async def fetch_all(self, query: LiteralString, params: Params | None = None) -> list[Row]:
        """Every row."""
        ...


class Entry:
    """How a session becomes a tenant's: the statement that enters it, and what its statements bind."""

    __slots__ = ("call", "tenant_id", "tenant_only")

    def __init__(self, tenant_id: UUID, member: UUID | None, statement: LiteralString) -> None:
        self.tenant_id = tenant_id
        self.tenant_only: Params = {FILTER: tenant_id}
        self.call: Call = (statement, {FILTER: tenant_id, "member": member})

    def bind(self, query: LiteralString, params: Params | None) -> Call:
        """The statement with the tenant among its parameters.

        Raises:
            TenantFilterMissing: The statement does not name `%(tenant)s`.
            StatementRefused: It is more than one, changes settings or is not about rows, or the tenant was
                chosen by the caller.
        """
        statement = parse(query)
        if not statement.tenant_bound:
            raise TenantFilterMissing
        if statement.refusal:
            raise StatementRefused(statement.refusal)
        if not params:
            return query, self.tenant_only
        if FILTER in params:
            raise StatementRefused("the session binds %(tenant)s itself")
        return query, {**params, FILTER: self.tenant_id}


class Reader:
    """Reads a tenant's rows; each call is its own read-only transaction in one round trip."""

    __slots__ = ("_entry", "_pool")

    def __init__(self, pool: Pool, entry: Entry) -> None:
        self._pool = pool
        self._entry = entry

    @property
    def tenant_id(self) -> UUID:
        """The tenant whose rows are seen."""
        return self._entry.tenant_id

    async def fetch_one(self, query: LiteralString, params: Params | None = None) -> Row | None:
        """The first row, or None.

        Raises:
            MembershipDenied: The member is none of this tenant; the query did not run.
            DatabaseError: Anything else, see `sba_db.errors`.
        """
        rows = await self.fetch_all(query, params)
        return rows[0] if rows else None

    async def fetch_all(self, query: LiteralString, params: Params | None = None) -> list[Row]:
        """Every row; raises as `fetch_one` does."""
        call = self._entry.bind(query, params)
        connection = await self._pool.acquire()
        try:
            return (await connection.send((*connection.read_prelude, self._entry.call, call))).rows
        except psycopg.Error as error:
            raise translate(error) from None
        finally:
            self._pool.release(connection)


class TenantSession:
    """One transaction as one tenant, begun by its first statement; made by `Database.tenant`."""

    __slots__ = ("_begin", "_busy", "_connection", "_entry", "_failed", "_over", "_pool")

    def __init__(self, pool: Pool, entry: Entry, begin: Call) -> None:
        self._pool = pool
        self._entry = entry
        self._begin = begin
        self._connection: Connection | None = None
        self._busy = False
        self._failed = False
        self._over = False

    @property
    def tenant_id(self) -> UUID:
        """The tenant whose rows are seen and written."""
        return self._entry.tenant_id

    async def fetch_one(self, query: LiteralString, params: Params | None = None) -> Row | None:
        """Run a statement and return its first row, or None.

        Raises:
            MembershipDenied: The member is none of this tenant; nothing ran.
            DatabaseError: Anything else, see `sba_db.errors`; the transaction can only be rolled back then.
        """
        rows = (await self._run(query, params)).rows
        return rows[0] if rows else None

    async def fetch_all(self, query: LiteralString, params: Params | None = None) -> list[Row]:
        """Run a statement and return every row; raises as `fetch_one` does."""
        return (await self._run(query, params)).rows

    async def execute(self, query: LiteralString, params: Params | None = None) -> int:
        """Run a statement and return how many rows it touched; raises as `fetch_one` does."""
        return (await self._run(query, params)).count

    async def commit(self) -> None:
        """End the transaction; for `Database.tenant`, which alone calls it."""
        self._over = True
        if self._busy:
            raise StatementRefused("a statement still ran when the block ended: nothing was committed")
        if self._failed:
            raise StatementRefused("a statement failed and its error was swallowed: nothing was committed")
        if self._connection is not None:
            await commit(self._connection)

    async def leave(self) -> None:
        """Roll back what was not committed and give the connection back, once no statement runs any more."""
        self._over = True
        if not self._busy:
            await self._give_back()

    async def _give_back(self) -> None:
        connection, self._connection = self._connection, None
        if connection is None:
            return
        try:
            await roll_back(connection)
        finally:
            self._pool.release(connection)

    async def _run(self, query: LiteralString, params: Params | None) -> Answer:
        call = self._entry.bind(query, params)
        self._admit()
        self._busy = True
        try:
            answer = await self._send(call)
            self._still_open()
        except BaseException as error:
            self._failed = True
            if isinstance(error, psycopg.Error):
                raise translate(error) from None
            raise
        else:
            return answer
        finally:
            self._busy = False
            if self._over:
                await self._give_back()

    def _admit(self) -> None:
        if self._busy:
            raise StatementRefused("a session serves one statement at a time")
        self._still_open()
        if self._failed:
            raise StatementRefused("the transaction has failed: leave the session")

    def _still_open(self) -> None:
        if self._over:
            raise StatementRefused("the session is over")

    async def _send(self, call: Call) -> Answer:
        if self._connection is not None:
            return await self._connection.send((call,))
        self._connection = await self._pool.acquire()
        self._still_open()
        limits = self._connection.write_prelude
        return await self._connection.send((self._begin, *limits, self._entry.call, call))


WriteSession = TenantSession


async def commit(connection: Connection) -> None:
    """End the connection's transaction.

    Raises:
        DatabaseUnavailable: The connection was lost; with `in_doubt` set, after commit was sent.
        DatabaseError: A deferred rule said no.
    """
    ended_before = connection.hung_up()
    try:
        await connection.send((COMMIT,))
    except psycopg.Error as error:
        lost = connection.pgconn.status != psycopg.pq.ConnStatus.OK
        raise _in_doubt() if lost and not ended_before else translate(error) from None


async def roll_back(connection: Connection) -> None:
    """End the connection's transaction, if one is open, without a trace."""
    if connection.in_transaction:
        try:
            await connection.send((ROLLBACK,))
        except psycopg.Error:
            connection.pgconn.finish()


def _in_doubt() -> DatabaseUnavailable:
    return DatabaseUnavailable(
        "the connection was lost during commit: it may or may not have happened",
        retry_after=SOON,
        in_doubt=True,
    )
