"""The door to Postgres: hands out readers and transactions that belong to one tenant, and nothing else."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import MappingProxyType
from typing import Final, LiteralString
from uuid import UUID

import psycopg

from sba_db.connection import Connector
from sba_db.errors import MembershipGuardMissing, UnsafeRole
from sba_db.failures import translate
from sba_db.plans import Params, Row
from sba_db.pool import Pool
from sba_db.sessions import BEGIN, SET_TENANT, Entry, Reader, TenantSession, commit, roll_back
from sba_db.settings import DatabaseSettings

__all__ = ["Database", "DatabaseSettings", "open_database"]

ROLE: Final[LiteralString] = """
select current_user::text as role,
       r.rolsuper as is_superuser,
       r.rolbypassrls as bypasses_rls,
       exists (
           select from pg_catalog.pg_roles o
           where o.rolname = 'sba_owner' and pg_has_role(r.oid, o.oid, 'member')
       ) as is_owner,
       exists (
           select from pg_catalog.pg_roles s
           where (s.rolsuper or s.rolbypassrls) and s.oid <> r.oid and pg_has_role(r.oid, s.oid, 'member')
       ) as may_become_one
from pg_catalog.pg_roles r where r.rolname = current_user
"""
NOTHING: Final[Params] = MappingProxyType({})
POWERS: Final = {
    "is_superuser": "is a superuser",
    "bypasses_rls": "bypasses row level security",
    "is_owner": "may act as sba_owner",
    "may_become_one": "may act as a role that bypasses row level security",
}


class Database:
    """A pool of connections behind tenant sessions; made by `open_database`."""

    __slots__ = ("_pool", "_settings")

    def __init__(self, pool: Pool, settings: DatabaseSettings) -> None:
        self._pool = pool
        self._settings = settings

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
    async def tenant(self, tenant_id: UUID, *, member: UUID | None = None) -> AsyncIterator[TenantSession]:
        """One transaction as one tenant, committed when the block ends and rolled back when it raises.

        Args:
            tenant_id: Whose rows.
            member: The user to check for live membership, together with the first statement.

        Raises:
            MembershipGuardMissing: A member is named but `enter_member` is not configured.
            DatabaseUnavailable: With `in_doubt` set, the connection was lost during commit.
        """
        session = TenantSession(self._pool, self._entry(tenant_id, member))
        try:
            yield session
            await session.commit()
        finally:
            await session.leave()

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
            UnsafeRole: It is a superuser, has BYPASSRLS, or may act as `sba_owner` or such a role.
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
                return (await connection.send(((query, params),))).rows
            answer = await connection.send((BEGIN, (query, params)))
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
    pool = Pool(
        Connector(settings),
        min_size=settings.min_size,
        max_size=settings.max_size,
        timeout=settings.pool_timeout,
    )
    pool.open()
    try:
        yield Database(pool, settings)
    finally:
        await pool.close()
