"""What an administrator does once per database: roles, ownership, extensions."""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any, Final

import psycopg
from psycopg import conninfo, sql

from sba_db.errors import BootstrapFailed
from sba_db.failures import translate
from sba_db.urls import parameters_of

BOOTSTRAP_LOCK: Final = 72707370

ROLES = files("sba_db").joinpath("roles.sql").read_bytes()
DATABASE = files("sba_db").joinpath("database.sql").read_bytes()

CONNECT: Final = sql.SQL("grant connect on database {} to sba_migrator, sba_app, sba_worker")

_Connection = psycopg.AsyncConnection[tuple[Any, ...]]


@dataclass(frozen=True, slots=True)
class RolePasswords:
    """A password for each login."""

    migrator: str = field(repr=False)
    app: str = field(repr=False)
    worker: str = field(repr=False)


async def bootstrap(admin_url: str, *, database: str, passwords: RolePasswords) -> None:
    """Make the roles, the database and its extensions; safe to repeat and to run twice at once.

    Roles: `sba_owner` (NOLOGIN, owns everything), `sba_migrator` (may act as it), `sba_app` and
    `sba_worker` (only what migrations grant). A database that is already there keeps its owner, and
    `sba_owner` may create in it.

    Args:
        admin_url: DSN of a superuser, any database of the cluster.
        database: Name of the database to make or complete.
        passwords: Set on the logins each time; the server only ever sees their SCRAM verifiers.

    Raises:
        InvalidValue: The URL is not a Postgres connection string.
        BootstrapFailed: The login may not, or an extension is not installed.
        DatabaseUnavailable: Postgres is not reachable.
    """
    async with await _connect(admin_url) as admin:
        await admin.execute("select pg_advisory_lock(%s)", (BOOTSTRAP_LOCK,))
        await _guarded(_roles(admin, passwords))
        await _guarded(_database(admin, database))
        async with await _connect(conninfo.make_conninfo(admin_url, dbname=database)) as inside:
            await _guarded(inside.execute(DATABASE))


async def _connect(url: str) -> _Connection:
    parameters_of(url)
    try:
        return await psycopg.AsyncConnection.connect(url, autocommit=True)
    except psycopg.Error as error:
        raise translate(error) from None


async def _guarded(work: Awaitable[object]) -> None:
    try:
        await work
    except psycopg.Error as error:
        raise BootstrapFailed(error.diag.message_primary or type(error).__name__) from None


async def _roles(admin: _Connection, passwords: RolePasswords) -> None:
    await admin.execute(ROLES)
    logins = {"sba_migrator": passwords.migrator, "sba_app": passwords.app, "sba_worker": passwords.worker}
    for role, password in logins.items():
        verifier = admin.pgconn.encrypt_password(password.encode(), role.encode(), b"scram-sha-256")
        statement = sql.SQL("alter role {} password {}")
        await admin.execute(statement.format(sql.Identifier(role), sql.Literal(verifier.decode())))


async def _database(admin: _Connection, database: str) -> None:
    name = sql.Identifier(database)
    cursor = await admin.execute("select 1 from pg_catalog.pg_database where datname = %s", (database,))
    if await cursor.fetchone() is None:
        await admin.execute(sql.SQL("create database {} owner sba_owner").format(name))
        await admin.execute(sql.SQL("revoke all on database {} from public").format(name))
    await admin.execute(sql.SQL("grant create on database {} to sba_owner").format(name))
    await admin.execute(
        sql.SQL("grant connect on database {} to sba_migrator, sba_app, sba_worker").format(name)
    )
