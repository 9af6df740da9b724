"""A whole stand-in over real HTTP, with tenants, users and keys of its own."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psycopg
from cryptography.hazmat.primitives.asymmetric import ec

from sba_local.identity import Issuer
from sba_local.layout import http_url
from sba_local.ports import free_port
from sba_local.standin import StandInServer
from sba_local.supabase.functions import Handler
from sba_local.supabase.gateway import Keys, Project
from sba_local.supabase.installing import install, install_policies
from sba_supabase.migrate import migrate

ANON, SECRET = "sb_publishable_standing", "sb_secret_standing"
NOW = 1_800_000_000.0


class Clock:
    """Seconds since the epoch, as the test has it."""

    def __init__(self, now: float = NOW) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


@dataclass
class Standing:
    """A stand-in that serves."""

    url: str
    issuer: Issuer
    admin_url: str
    clock: Clock
    stop: Callable[[], Awaitable[None]]
    functions: dict[str, Handler] = field(default_factory=dict)
    http: httpx.AsyncClient = field(default_factory=httpx.AsyncClient)

    def headers(self, token: str | None = None, key: str = ANON, **more: str) -> dict[str, str]:
        """What a request carries."""
        return {"apikey": key, "Authorization": f"Bearer {token or key}", **more}

    async def tenant(self, *members: tuple[uuid.UUID, str]) -> uuid.UUID:
        """A new tenant with these members."""
        tenant = uuid.uuid4()
        async with await psycopg.AsyncConnection.connect(self.admin_url) as connection:
            await connection.execute(
                "insert into public.tenants (id, slug, name) values (%s, %s, 'T')", [tenant, f"t{tenant.hex}"]
            )
            for user, role in members:
                await connection.execute(
                    "insert into public.memberships (tenant_id, user_id, role) values (%s, %s, %s)",
                    [tenant, user, role],
                )
        return tenant

    async def member(self, role: str = "member") -> tuple[uuid.UUID, str]:
        """A tenant and the token of its only member."""
        user = uuid.uuid4()
        tenant = await self.tenant((user, role))
        return tenant, self.issuer.mint(user_id=user, tenant_id=tenant)

    async def run(self, statement: str, *values: object) -> list[tuple[object, ...]]:
        """A statement as the superuser."""
        async with await psycopg.AsyncConnection.connect(self.admin_url) as connection:
            cursor = await connection.execute(statement.encode(), values)
            return await cursor.fetchall() if cursor.description else []


@asynccontextmanager
async def standing(
    admin_url: str, migrator_url: str, place: Path, *, functions: Mapping[str, Handler] | None = None
) -> AsyncIterator[Standing]:
    """Install, migrate, serve."""
    logins = await install(admin_url, "secret")
    await migrate(migrator_url)
    await install_policies(admin_url)
    port, clock = free_port(), Clock()
    key = await asyncio.to_thread(ec.generate_private_key, ec.SECP256R1())
    issuer = Issuer(key, http_url(port), clock=clock)
    handlers = dict(functions or {})
    async with StandInServer(issuer, port=port) as server, httpx.AsyncClient() as http:
        server.open(Project(logins, Keys(ANON, SECRET), place / "storage", handlers))
        yield Standing(http_url(port), issuer, admin_url, clock, server.stop, handlers, http)
