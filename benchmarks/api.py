"""What the platform costs: `GET /v1/runs/{id}` as shipped against a bare FastAPI route doing the same SELECT.

`python benchmarks/api.py [--json FILE] [--rounds N] [--seconds S]`. Both are served by uvicorn with the same
options, each in a process of its own, on an embedded Postgres and Valkey; a third process makes the load.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import uvicorn
from fastapi import FastAPI
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool
from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings
from report import publish
from stage import POOL, Stage, stage
from starlette.requests import Request as HttpRequest

from sba_api.serve import serve
from sba_api.settings import ApiSettings
from sba_db import agent_runs
from sba_local.ports import free_port
from sba_supabase.settings import load_settings

PEERS = ("fastapi", "starlette", "uvicorn", "psycopg", "psycopg-pool", "redis", "pydantic")
DEADLINE = 30.0


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


@contextmanager
def server(kind: str, on: Stage, log: Path) -> Iterator[int]:
    """A server process that answers; its port."""
    port = free_port()
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
    command = [sys.executable, Path(__file__).with_name("load.py")]
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


def main() -> None:
    """Measure and report; the rest is for the reader."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--process", choices=("shipped", "bare"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.process:
        {"shipped": serve_shipped, "bare": serve_bare}[given.process]()
        return
    figures = compare(given.rounds, given.seconds)
    publish(figures, PEERS, given.json)


if __name__ == "__main__":
    main()
