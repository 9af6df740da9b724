"""The door to Postgres: hands out readers and transactions that belong to one tenant, and nothing else."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from types import MappingProxyType
from typing import Final, LiteralString, TypeVar
from uuid import UUID

import psycopg

from sba_db.connection import Connector
from sba_db.errors import DatabaseTimeout, DatabaseUnavailable, MembershipGuardMissing, UnsafeRole
from sba_db.failures import translate
from sba_db.plans import Params, Row
from sba_db.pool import Pool
from sba_db.powers import POWERS, ROLE
from sba_db.sessions import SET_TENANT, Entry, Reader, TenantSession, commit, roll_back
from sba_db.settings import DatabaseSettings
from sba_db.slow import SentStatement, SlowStatements
from sba_db.statements import FILTER
from sba_db.transactions import Isolation, Transactions, begin
from sba_resilience import Deadline, Retry

__all__ = ["Database", "DatabaseSettings", "open_database"]

NOTHING: Final[Params] = MappingProxyType({})
START_ATTEMPTS: Final = 1_000
T = TypeVar("T")


class Database:
    """A pool of connections behind tenant sessions; made by `open_database`."""

    __slots__ = ("_pool", "_settings", "_start", "_transactions")

    def __init__(self, pool: Pool, settings: DatabaseSettings) -> None:
        self._pool = pool
        self._settings = settings
        self._transactions = Transactions(settings.attempts)
        absent = (DatabaseUnavailable, DatabaseTimeout)
        self._start = Retry(START_ATTEMPTS, base=0.1, retry_on=absent, name="postgres.start")

    def __repr__(self) -> str:
        return f"<Database {self._settings.application_name}: {self._pool.size} open, {self._pool.idle} idle>"

    def reader(self, tenant_id: UUID, *, member: UUID | None = None) -> Reader:
        """Reads of one tenant's rows, each call one round trip and one transaction of its own.

        Args:
            tenant_id: Whose rows.
            member: The user to check for live membership, in the same round trip.

        Raises:
            MembershipGuardMissing: A member is named but `enter_member` is not configured.
        """
        return Reader(self._pool, self._entry(tenant_id, member))

    @asynccontextmanager
    async def tenant(
        self, tenant_id: UUID, *, member: UUID | None = None, isolation: Isolation = "read committed"
    ) -> AsyncIterator[TenantSession]:
        """One transaction as one tenant, committed when the block ends and rolled back when it raises.

        A block cannot run twice, so a conflict reaches the caller; `run` repeats a function instead.

        Args:
            tenant_id: Whose rows.
            member: The user to check for live membership, together with the first statement.
            isolation: How much of what others commit meanwhile the block may see.

        Raises:
            MembershipGuardMissing: A member is named but `enter_member` is not configured.
            DatabaseUnavailable: With `in_doubt` set, the connection was lost during commit.
        """
        session = TenantSession(self._pool, self._entry(tenant_id, member), begin(isolation))
        try:
            yield session
            await session.commit()
        finally:
            await session.leave()

    async def run(
        self,
        tenant_id: UUID,
        work: Callable[[TenantSession], Awaitable[T]],
        *,
        member: UUID | None = None,
        isolation: Isolation = "read committed",
        idempotent: bool = False,
    ) -> T:
        """Run `work` in a transaction of its own, and all of it again after a conflict or a lost connection.

        It is repeated only when nothing of the last time is left behind, after a random wait that grows:
        `DatabaseSettings.attempts` times in all, within the current `Deadline` and a budget that all
        transactions of this database share.

        Args:
            tenant_id: Whose rows.
            work: Takes the session; may be called again, so what it does elsewhere belongs after `run`.
            member: The user to check for live membership, together with the first statement.
            isolation: How much of what others commit meanwhile `work` may see.
            idempotent: Whether the whole may happen twice: then it is also repeated when the connection was
                lost during commit, and nobody knows whether that happened.

        Returns:
            What `work` answered the time it was committed.

        Raises:
            TransactionConflict: The attempts, the time or the budget are used up.
            DatabaseUnavailable: So, or with `in_doubt` set; a full pool is not waited for twice.
            Exception: What `work` raised; nothing was written.
        """

        async def once() -> T:
            async with self.tenant(tenant_id, member=member, isolation=isolation) as session:
                return await work(session)

        return await self._transactions.run(once, idempotent=idempotent)

    async def ready(self, *, within: float) -> None:
        """Wait for Postgres to answer, asking again after growing random waits, and check this login.

        Args:
            within: Seconds; no attempt is begun after them.

        Raises:
            DatabaseUnavailable: It did not.
            UnsafeRole: As `verify_role` says.
        """
        with Deadline.after(within).scope():
            await self._start.call(self.verify_role)

    async def verify_member(self, tenant_id: UUID, member: UUID) -> None:
        """Check that the user is a live member of the tenant.

        Raises:
            MembershipDenied: Not one.
        """
        entry = self._entry(tenant_id, member)
        await self.system(*entry.call)

    async def verify_role(self) -> None:
        """Check that this login is bound by row level security, before serving anyone.

        Raises:
            UnsafeRole: It has one of `sba_db.powers.POWERS`, itself or by what it may become.
        """
        for row in await self.system(ROLE):
            for power, words in POWERS.items():
                if row[power]:
                    raise UnsafeRole(row["role"], words)

    async def ping(self) -> None:
        """One round trip.

        Raises:
            DatabaseUnavailable: No answer.
        """
        await self.system("select 1 as pong")

    async def system(
        self, query: LiteralString, params: Params = NOTHING, *, write: bool = False
    ) -> list[Row]:
        """Run one statement as no tenant, which sees no tenant's rows.

        Args:
            query: The statement.
            params: Its parameters.
            write: True to run it in a transaction that may write.
        """
        connection = await self._pool.acquire()
        try:
            if not write:
                return (await connection.send((*connection.read_prelude, (query, params)))).rows
            limits = connection.write_prelude
            answer = await connection.send((begin("read committed"), *limits, (query, params)))
            await commit(connection)
        except psycopg.Error as error:
            raise translate(error) from None
        else:
            return answer.rows
        finally:
            await roll_back(connection)
            self._pool.release(connection)

    def _entry(self, tenant_id: UUID, member: UUID | None) -> Entry:
        if member is None:
            return Entry(tenant_id, None, SET_TENANT)
        if self._settings.enter_member is None:
            raise MembershipGuardMissing
        return Entry(tenant_id, member, self._settings.enter_member)


@asynccontextmanager
async def open_database(settings: DatabaseSettings) -> AsyncIterator[Database]:
    """Open a pool and close it at the end; Postgres need not be up yet.

    Raises:
        InvalidValue: The URL is not a Postgres connection string.
    """
    slow = _slow_statements(settings)
    pool = Pool(
        Connector(settings, slow),
        min_size=settings.min_size,
        max_size=settings.max_size,
        timeout=settings.pool_timeout,
    )
    pool.open()
    try:
        yield Database(pool, settings)
    finally:
        await pool.close()
        if slow is not None:
            await slow.close()


def _slow_statements(settings: DatabaseSettings) -> SlowStatements | None:
    if settings.slow_query is None:
        return None
    connect = Connector(settings)

    async def explain(statement: SentStatement) -> str:
        query, params = statement
        connection = await connect()
        try:
            tenant = ((SET_TENANT, params),) if FILTER in params else ()
            answer = await connection.send((*connection.read_prelude, *tenant, (f"explain {query}", params)))
        finally:
            connection.pgconn.finish()
        return "\n".join(line for row in answer.rows for line in row.values())

    return SlowStatements(settings.slow_query, explain=explain if settings.explain_slow else None)
