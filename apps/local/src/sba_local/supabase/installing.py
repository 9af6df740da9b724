"""What a Supabase project's database has before any migration of ours: schemas, and its services' logins."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, field
from importlib import resources
from typing import Final
from urllib.parse import quote, urlsplit, urlunsplit

import psycopg
from psycopg import sql

from sba_local.supabase.rest.authenticator import LOGIN, ensure_authenticator

AUTH_ADMIN: Final = "supabase_auth_admin"
STORAGE_ADMIN: Final = "supabase_storage_admin"

_LOCK: Final = "select pg_advisory_xact_lock(7284113906518245003)"
_EXISTS: Final = "select from pg_catalog.pg_roles where rolname = %s"
_CREATE: Final = sql.SQL("create role {} login noinherit nosuperuser nobypassrls nocreatedb nocreaterole")
_PASSWORD: Final = sql.SQL("alter role {} password {}")
_SCHEMA: Final = sql.SQL("create schema if not exists {} authorization {}")
_BECOME: Final = sql.SQL("set local role {}")
_POLICIES: Final = "select app.install_storage_policies()"
_LEND_ROLES: Final = sql.SQL("grant anon, authenticated, service_role to {}")
_CONNECT: Final = sql.SQL("grant connect on database {} to {}, {}, {}")


@dataclass(frozen=True, slots=True)
class Logins:
    """How each service of the stand-in connects.

    Attributes:
        rest: may only become one of the request roles.
        auth: owns schema `auth`.
        storage: owns schema `storage` and may become one of the request roles.
    """

    rest: str = field(repr=False)
    auth: str = field(repr=False)
    storage: str = field(repr=False)

    @classmethod
    def of(cls, admin_url: str, secret: str) -> Logins:
        """Those that `install` makes with the same arguments."""
        return cls(
            rest=_url(admin_url, LOGIN, secret),
            auth=_url(admin_url, AUTH_ADMIN, secret),
            storage=_url(admin_url, STORAGE_ADMIN, secret),
        )


async def install(admin_url: str, secret: str) -> Logins:
    """Make schemas and logins where they are missing; for a Postgres that is no Supabase project.

    The request roles must exist. `install_policies` follows, once the migrations have run.

    Args:
        admin_url: a superuser's login.
        secret: what the logins' passwords are derived from.
    """
    await ensure_authenticator(admin_url, _password(LOGIN, secret))
    async with await psycopg.AsyncConnection.connect(admin_url) as connection:
        await connection.execute(_LOCK)
        for role, schema in ((AUTH_ADMIN, "auth"), (STORAGE_ADMIN, "storage")):
            await _ensure_login(connection, role, _password(role, secret))
            await connection.execute(_SCHEMA.format(sql.Identifier(schema), sql.Identifier(role)))
        await connection.execute(_LEND_ROLES.format(sql.Identifier(STORAGE_ADMIN)))
        await connection.execute(_connect(connection.info.dbname))
    for role, schema in ((AUTH_ADMIN, "auth"), (STORAGE_ADMIN, "storage")):
        async with await psycopg.AsyncConnection.connect(admin_url) as connection:
            await connection.execute(_LOCK)
            await connection.execute(_BECOME.format(sql.Identifier(role)))
            await connection.execute(_definition(schema))
    return Logins.of(admin_url, secret)


async def install_policies(admin_url: str) -> None:
    """Give the storage schema the policies of the migrations, which may not write them themselves.

    Args:
        admin_url: a superuser's login.
    """
    async with await psycopg.AsyncConnection.connect(admin_url) as connection:
        await connection.execute(_POLICIES)


async def _ensure_login(
    connection: psycopg.AsyncConnection[tuple[object, ...]], role: str, password: str
) -> None:
    name = sql.Identifier(role)
    if await (await connection.execute(_EXISTS, [role])).fetchone() is None:
        await connection.execute(_CREATE.format(name))
    await connection.execute(_PASSWORD.format(name, sql.Literal(password)))


def _connect(database: str) -> sql.Composed:
    logins = (sql.Identifier(role) for role in (LOGIN, AUTH_ADMIN, STORAGE_ADMIN))
    return _CONNECT.format(sql.Identifier(database), *logins)


def _definition(schema: str) -> bytes:
    return resources.files(f"sba_local.supabase.{schema}").joinpath("schema.sql").read_bytes()


def _password(role: str, secret: str) -> str:
    return hmac.new(secret.encode(), role.encode(), hashlib.sha256).hexdigest()


def _url(admin_url: str, role: str, secret: str) -> str:
    parts = urlsplit(admin_url)
    place = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{role}:{quote(_password(role, secret), safe='')}@{place}"))
