"""What the platform costs: `GET /v1/runs/{id}` as shipped against a bare FastAPI route doing the same SELECT.

`python benchmarks/api.py [--json FILE] [--rounds N] [--seconds S]`. Both are served by uvicorn with the same
options, each in a process of its own, on an embedded Postgres and Valkey; a third process makes the load.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit
from urllib.request import Request, urlopen

import jwt
import psycopg
import uvicorn
import uvloop
from cryptography.hazmat.primitives.asymmetric import ec
from fastapi import FastAPI
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool
from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings
from starlette.requests import Request as HttpRequest

import sba_supabase.migrate
from sba_api.serve import serve
from sba_api.settings import ApiSettings
from sba_db import DatabaseSettings, agent_runs, open_database
from sba_db.bootstrap import RolePasswords, bootstrap
from sba_db.migrate import migrate
from sba_local.postgres import EmbeddedPostgres
from sba_local.valkey import EmbeddedValkey
from sba_supabase.settings import load_settings

PEERS = ("fastapi", "starlette", "uvicorn", "psycopg", "psycopg-pool", "redis", "pydantic")
CONNECTIONS = 32
POOL = 10
DEADLINE = 30.0
KID = "benchmark"
UNLIMITED = "10000000"


# ---- the two servers -------------------------------------------------------------------------------------


def serve_shipped() -> None:
    """The application as `sba-api serve` runs it."""
    serve(load_settings(ApiSettings))


class BareSettings(BaseSettings):
    """What the bare server is told by the stage."""

    tenant: uuid.UUID = Field(validation_alias="BENCH_TENANT")
    admin_url: SecretStr = Field(validation_alias="BENCH_ADMIN_URL")
    port: int = Field(validation_alias="SBA_API_PORT")


def serve_bare() -> None:
    """The same SELECT by the same driver, and nothing else."""
    settings = load_settings(BareSettings)
    url = settings.admin_url.get_secret_value()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        options = {"row_factory": dict_row, "autocommit": True}
        async with AsyncConnectionPool(url, min_size=POOL, max_size=POOL, kwargs=options) as pool:
            app.state.pool = pool
            yield

    app = FastAPI(lifespan=lifespan)

    @app.get("/v1/runs/{run_id}")
    async def get_run(request: HttpRequest, run_id: uuid.UUID) -> Any:  # noqa: ANN401 - a row
        async with request.app.state.pool.connection() as connection:
            cursor = await connection.execute(agent_runs.GET, {"tenant": settings.tenant, "id": run_id})
            return await cursor.fetchone()

    uvicorn.run(
        app,
        host="127.0.0.1",
        port=settings.port,
        proxy_headers=False,
        server_header=False,
        access_log=False,
        log_config=None,
        lifespan="on",
        ws="none",
    )


# ---- the load --------------------------------------------------------------------------------------------


class Caller(asyncio.Protocol):
    """One keep-alive connection that asks again as soon as it is answered."""

    def __init__(self, request: bytes) -> None:
        self._request = request
        self._buffer = b""
        self.answered = 0
        self.failed = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask the first time."""
        self._transport = transport
        transport.write(self._request)  # type: ignore[attr-defined]  # a TCP transport writes

    def data_received(self, data: bytes) -> None:
        """Count a whole answer and ask again."""
        self._buffer += data
        head = self._buffer.find(b"\r\n\r\n")
        if head < 0:
            return
        place = self._buffer.lower().find(b"content-length:", 0, head)
        length = int(self._buffer[place + 15 : self._buffer.find(b"\r\n", place)])
        if len(self._buffer) < head + 4 + length:
            return
        self.answered += 1
        self.failed += not self._buffer.startswith(b"HTTP/1.1 200")
        self._buffer = b""
        self._transport.write(self._request)  # type: ignore[attr-defined]  # a TCP transport writes


async def load(port: int, request: bytes, seconds: float) -> float:
    """Answers per second over `seconds`, after a fifth of that to warm up."""
    loop = asyncio.get_running_loop()
    made = [
        await loop.create_connection(lambda: Caller(request), "127.0.0.1", port) for _ in range(CONNECTIONS)
    ]
    await asyncio.sleep(seconds / 5)
    before, began = sum(caller.answered for _, caller in made), time.perf_counter()
    await asyncio.sleep(seconds)
    answered = sum(caller.answered for _, caller in made) - before
    elapsed = time.perf_counter() - began
    for transport, caller in made:
        transport.close()
        if caller.failed:
            raise SystemExit(f"{caller.failed} answers were not 200")
    return answered / elapsed


def run_load() -> None:
    """The load process: what to do is on standard input."""
    wanted = json.load(sys.stdin)
    print(uvloop.run(load(wanted["port"], wanted["request"].encode(), wanted["seconds"])))


# ---- the stage -------------------------------------------------------------------------------------------


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


@contextmanager
def server(kind: str, on: Stage, log: Path) -> Iterator[int]:
    """A server process that answers; its port."""
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as probe:
        port = probe.server_port
    command = [sys.executable, __file__, "--process", kind]
    environment = {**on.environment, "SBA_API_PORT": str(port)}
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=environment, stderr=output)  # noqa: S603 - our own file
        try:
            wait_until_answering(port, on, process, log)
            yield port
        finally:
            process.terminate()
            process.wait()


def wait_until_answering(port: int, on: Stage, process: subprocess.Popen[bytes], log: Path) -> None:
    """Return once the route answers with the run."""
    until = time.monotonic() + DEADLINE
    url = f"http://127.0.0.1:{port}/v1/runs/{on.run_id}"
    while time.monotonic() < until and process.poll() is None:
        try:
            request = Request(url, headers={"Authorization": f"Bearer {on.token}"})
            with urlopen(request, timeout=5) as answer:  # noqa: S310 - http
                assert json.load(answer)["id"] == on.run_id
                return
        except OSError:
            time.sleep(0.05)
    raise SystemExit(f"a server did not come up:\n{log.read_text()[-2000:]}")


def measured(port: int, on: Stage, seconds: float) -> float:
    """Requests a second, as a process of its own sees them."""
    request = (
        f"GET /v1/runs/{on.run_id} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {on.token}\r\n\r\n"
    )
    wanted = json.dumps({"port": port, "request": request, "seconds": seconds})
    command = [sys.executable, __file__, "--process", "load"]
    done = subprocess.run(command, input=wanted, capture_output=True, text=True, check=True)  # noqa: S603 - our own file
    return float(done.stdout)


def compare(rounds: int, seconds: float) -> dict[str, float]:
    """The figures: medians over alternating rounds."""
    with tempfile.TemporaryDirectory(prefix="sba-bench-") as directory:
        root = Path(directory)
        root.chmod(0o755)
        with (
            stage(root) as on,
            server("shipped", on, root / "shipped.log") as shipped,
            server("bare", on, root / "bare.log") as bare,
        ):
            pairs = []
            for number in range(rounds):
                order = (shipped, bare) if number % 2 == 0 else (bare, shipped)
                seen = {port: measured(port, on, seconds) for port in order}
                pairs.append((seen[shipped], seen[bare]))
                report = f"round {number + 1}: shipped {seen[shipped]:.0f}/s, bare {seen[bare]:.0f}/s"
                print(report, file=sys.stderr)
    return {
        "get_run_rps": statistics.median(mine for mine, _ in pairs),
        "get_run_bare_rps": statistics.median(bare for _, bare in pairs),
        "get_run_rps_vs_bare": statistics.median(mine / bare for mine, bare in pairs),
    }


def machine() -> dict[str, Any]:
    """What it ran on."""
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpus": os.cpu_count(),
        "connections": CONNECTIONS,
    }


def main() -> None:
    """Measure and report; fails when the promised ratio is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--process", choices=("shipped", "bare", "load"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.process:
        {"shipped": serve_shipped, "bare": serve_bare, "load": run_load}[given.process]()
        return
    figures = compare(given.rounds, given.seconds)
    report = {
        "figures": {name: round(value, 3) for name, value in figures.items()},
        "peers": {name: version(name) for name in PEERS},
        "machine": machine(),
    }
    print(json.dumps(report, indent=2))
    if given.json:
        given.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
