"""Rows of schema `storage`, seen by the role that asks."""

from __future__ import annotations

import json
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

import psycopg
from psycopg.rows import dict_row
from starlette.requests import Request

from sba_local.supabase.connections import Connection, Connections
from sba_local.supabase.storage import errors

Row = dict[str, Any]
_ACT: Final = """
select set_config('role', %(role)s, true), set_config('request.jwt.claims', %(claims)s, true),
    set_config('request.jwt.claim.sub', %(sub)s, true), set_config('request.jwt.claim.role', %(role)s, true),
    set_config('request.headers', %(headers)s, true), set_config('request.method', %(method)s, true),
    set_config('request.path', %(path)s, true)
"""


@dataclass(frozen=True, slots=True)
class Asker:
    """Who asks for what, as policies may want to know it."""

    role: str
    claims: Mapping[str, Any] = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    method: str
    path: str

    @classmethod
    def of(cls, request: Request) -> Asker:
        """The one whom the gateway let in."""
        state = request.scope["state"]
        return cls(
            state["role"], state["claims"], dict(request.headers), request.method, request.scope["path"]
        )

    @property
    def owner(self) -> uuid.UUID | None:
        """Whose the objects are that they make."""
        try:
            return uuid.UUID(str(self.claims.get("sub")))
        except ValueError:
            return None

    def settings(self) -> dict[str, str]:
        """As the database is told."""
        return {
            "role": self.role,
            "claims": json.dumps(dict(self.claims)),
            "sub": str(self.claims.get("sub", "")),
            "headers": json.dumps(dict(self.headers)),
            "method": self.method,
            "path": self.path,
        }


class Rows:
    """Statements under one role, in one transaction.

    Args:
        connection: in that transaction.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def all(self, statement: str, values: Mapping[str, Any]) -> Sequence[Row]:
        """Every row."""
        async with psycopg.AsyncCursor(self._connection, row_factory=dict_row) as cursor:
            await cursor.execute(statement.encode(), values)
            return await cursor.fetchall()

    async def one(self, statement: str, values: Mapping[str, Any]) -> Row | None:
        """The first row."""
        return next(iter(await self.all(statement, values)), None)

    async def run(self, statement: str, values: Mapping[str, Any]) -> int:
        """How many rows a statement without an answer concerned."""
        cursor = await self._connection.execute(statement.encode(), values)
        return cursor.rowcount


class Store:
    """The database as a role sees it.

    Args:
        connections: of a login that owns schema `storage` and may become any request role.
    """

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    @asynccontextmanager
    async def acting(self, asker: Asker | None) -> AsyncIterator[Rows]:
        """One transaction as whoever asks; None is the owner, whom no policy binds.

        Raises:
            StorageRefusal: a policy or a constraint forbids it.
        """
        async with self._connections.lend() as connection:
            try:
                async with connection.transaction():
                    if asker is not None:
                        await connection.execute(_ACT, asker.settings())
                    yield Rows(connection)
            except psycopg.errors.InsufficientPrivilege:
                raise errors.denied() from None
            except psycopg.DataError:
                raise errors.invalid("the database cannot hold that") from None
            except psycopg.errors.UniqueViolation:
                raise errors.duplicate() from None
            except psycopg.errors.ForeignKeyViolation:
                raise errors.bucket_missing() from None

    async def aclose(self) -> None:
        """Close the connections."""
        await self._connections.close()


def document(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row as JSON."""
    return {name: _plain(value) for name, value in row.items()}


def _plain(value: Any) -> Any:  # noqa: ANN401  # a column of any type
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return str(value) if isinstance(value, uuid.UUID) else value
