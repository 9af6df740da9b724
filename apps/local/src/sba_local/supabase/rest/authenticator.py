"""The login that serves requests: it is nobody itself and may only become one of the three request roles."""

from __future__ import annotations

from typing import Final
from urllib.parse import quote, urlsplit, urlunsplit

import psycopg
from psycopg import sql

LOGIN: Final = "authenticator"
_LOCK: Final = "select pg_advisory_xact_lock(7284113906518245002)"
_EXISTS: Final = "select from pg_catalog.pg_roles where rolname = %s"
_CREATE: Final = sql.SQL("create role {} login noinherit nosuperuser nobypassrls nocreatedb nocreaterole")
_PASSWORD: Final = sql.SQL("alter role {} password {}")
_GRANT: Final = sql.SQL("grant anon, authenticated, service_role to {}")


async def ensure_authenticator(admin_url: str, password: str) -> str:
    """Make the login where it is missing, give it the password, and say how to connect as it.

    Args:
        admin_url: a login that may create roles; its database is the one to serve.
        password: what the login is to have.

    Returns:
        The URL for `RestApp`.
    """
    name = sql.Identifier(LOGIN)
    async with await psycopg.AsyncConnection.connect(admin_url) as connection:
        await connection.execute(_LOCK)
        if await (await connection.execute(_EXISTS, [LOGIN])).fetchone() is None:
            await connection.execute(_CREATE.format(name))
        await connection.execute(_PASSWORD.format(name, sql.Literal(password)))
        await connection.execute(_GRANT.format(name))
    parts = urlsplit(admin_url)
    place = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{LOGIN}:{quote(password, safe='')}@{place}"))
