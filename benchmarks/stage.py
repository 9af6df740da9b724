"""Engines, a migrated database, a tenant with a run, and an issuer: what a server needs to be measured on."""

from __future__ import annotations

import asyncio
import json
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import jwt
import psycopg
from cryptography.hazmat.primitives.asymmetric import ec

import sba_supabase.migrate
from sba_db import DatabaseSettings, agent_runs, open_database
from sba_db.bootstrap import RolePasswords, bootstrap
from sba_db.migrate import migrate
from sba_local.postgres import EmbeddedPostgres
from sba_local.valkey import EmbeddedValkey

POOL = 10
KID = "benchmark"
UNLIMITED = "10000000"


@dataclass(frozen=True, slots=True)
class Stage:
    """Where everything is and who asks."""

    environment: dict[str, str]
    token: str
    run_id: str


@contextmanager
def stage(root: Path) -> Iterator[Stage]:
    """Engines, a migrated database, a tenant with a run, and an issuer."""
    with (
        EmbeddedPostgres(root / "postgres") as postgres,
        EmbeddedValkey(root / "valkey") as valkey,
        issuer() as (address, key),
    ):
        admin = postgres.url("sba")
        app_url = asyncio.run(migrated(postgres.url(), admin))
        tenant, user = seeded(admin)
        environment = {
            "SBA_DATABASE_URL": app_url,
            "REDIS_URL": valkey.url,
            "SUPABASE_URL": address,
            "SBA_ADDRESS_LIMIT": UNLIMITED,
            "SBA_TENANT_LIMIT": UNLIMITED,
            "SBA_USER_LIMIT": UNLIMITED,
            "SBA_DATABASE_POOL_SIZE": str(POOL),
            "BENCH_ADMIN_URL": admin,
            "BENCH_TENANT": str(tenant),
        }
        run_id = asyncio.run(created_run(app_url, tenant, user))
        yield Stage(environment, signed(key, address, tenant, user), run_id)


async def migrated(server: str, admin: str) -> str:
    """Make and migrate the database; the DSN of its application login."""
    passwords = RolePasswords(migrator="migrator", app="app", worker="worker")
    await bootstrap(server, database="sba", passwords=passwords)
    await sba_supabase.migrate.ensure_platform_roles(admin)
    await migrate(as_login(admin, "sba_migrator", "migrator"))
    await sba_supabase.migrate.migrate(as_login(admin, "sba_migrator", "migrator"))
    return as_login(admin, "sba_app", "app")


def as_login(url: str, user: str, password: str) -> str:
    """The same database for another login."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=f"{user}:{password}@{parts.hostname}:{parts.port}"))


def seeded(admin: str) -> tuple[uuid.UUID, uuid.UUID]:
    """A tenant and its member."""
    tenant, user = uuid.uuid4(), uuid.uuid4()
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute(
            "insert into public.tenants (id, slug, name) values (%s, 'bench', 'Bench')", (tenant,)
        )
        connection.execute(
            "insert into public.memberships (tenant_id, user_id, role) values (%s, %s, 'member')",
            (tenant, user),
        )
    return tenant, user


async def created_run(url: str, tenant: uuid.UUID, user: uuid.UUID) -> str:
    """A run of that tenant."""
    async with open_database(DatabaseSettings(url=url)) as database, database.tenant(tenant) as session:
        run = await agent_runs.create_run(session, user_id=user, prompt="What is the refund policy?")
    return str(run.id)


@contextmanager
def issuer() -> Iterator[tuple[str, ec.EllipticCurvePrivateKey]]:
    """A key and an address that publishes it."""
    key = ec.generate_private_key(ec.SECP256R1())
    published = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(key.public_key()))
    document = json.dumps({"keys": [{**published, "kid": KID, "alg": "ES256", "use": "sig"}]}).encode()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(document)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", key
    finally:
        server.shutdown()
        server.server_close()


def signed(key: ec.EllipticCurvePrivateKey, address: str, tenant: uuid.UUID, user: uuid.UUID) -> str:
    """A member's token."""
    claims = {
        "iss": f"{address}/auth/v1",
        "aud": "authenticated",
        "sub": str(user),
        "role": "authenticated",
        "iat": 1_700_000_000,
        "exp": 4_000_000_000,
        "app_metadata": {"tenant_id": str(tenant)},
    }
    return jwt.encode(claims, key, "ES256", headers={"kid": KID})
