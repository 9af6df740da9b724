"""The commands as they are run: `serve`, `worker` and `migrate` in processes of their own."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from sba_local.ports import free_port
from tests.integration.api.conftest import until

DEADLINE = 30
COMMAND = Path(sys.executable).parent / "sba-api"


def environment(settings, database_urls, **more):
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith(("SBA_", "SUPABASE_"))},
        "SBA_DATABASE_URL": database_urls.app,
        "SBA_QUEUE_DATABASE_URL": database_urls.worker,
        "SBA_MIGRATION_DATABASE_URL": database_urls.migrator,
        "REDIS_URL": settings.redis_url.get_secret_value(),
        "SUPABASE_URL": settings.url,
        **more,
    }


@contextmanager
def running(command: str, env: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen([COMMAND, command], env=env, stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def ended(command: str, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run([COMMAND, command], env=env, capture_output=True, text=True, check=False)


async def test_a_served_api_and_a_worker_bring_a_run_to_its_end(settings, database_urls, acme):
    port = free_port()
    env = environment(settings, database_urls, SBA_API_PORT=str(port))
    installed = await asyncio.to_thread(ended, "migrate", env)
    assert installed.returncode == 0, installed.stderr
    with running("serve", env) as server, running("worker", env) as worker:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", headers=acme) as client:

            async def ready():
                try:
                    return (await client.get("/readyz")).status_code == 200
                except httpx.TransportError:
                    assert server.poll() is None
                    return False

            await until(ready)
            document = {
                "title": "Refunds",
                "content": "Refunds are paid within fourteen days of the request.",
            }
            await client.post("/v1/knowledge/documents", json=document)
            accepted = await client.post("/v1/runs", json={"prompt": "When are refunds paid?"})
            assert accepted.status_code == 202

            async def finished():
                run = (await client.get(accepted.headers["location"])).json()
                return run["status"] not in {"queued", "running"}

            await until(finished)
            run = (await client.get(accepted.headers["location"])).json()
            assert run["status"] == "succeeded", run
            assert run["result"]["citations"]
            events = (await client.get(f"{accepted.headers['location']}/events")).json()["items"]
            assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
            assert (await client.get(f"{accepted.headers['location']}/steps")).json()["items"]
            assert (await client.get("/v1/usage")).json()["items"]
            answer = await client.get("/v1/runs")
            assert "server" not in answer.headers
        for process in (server, worker):
            process.send_signal(signal.SIGTERM)
        logs = [process.communicate(timeout=DEADLINE)[1] for process in (server, worker)]
        assert [server.returncode, worker.returncode] == [0, 0], logs
    for line in logs[0].splitlines():
        json.loads(line)
    secrets = [acme["Authorization"].removeprefix("Bearer "), "app-pw", "worker-pw"]
    assert not [secret for secret in secrets if secret in "".join(logs)]


async def test_proxy_headers_are_not_believed(settings, database_urls):
    port = free_port()
    env = environment(settings, database_urls, SBA_API_PORT=str(port), SBA_ADDRESS_LIMIT="2")
    with running("serve", env) as server:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:

            async def up():
                try:
                    return (await client.get("/healthz")).status_code == 200
                except httpx.TransportError:
                    assert server.poll() is None
                    return False

            await until(up)
            spoofed = [{"X-Forwarded-For": f"198.51.100.{n}", "X-Forwarded-Proto": "https"} for n in range(3)]
            answers = [await client.get("/v1/runs", headers=headers) for headers in spoofed]
    assert [answer.status_code for answer in answers] == [401, 401, 429]
    assert not [answer for answer in answers if "strict-transport-security" in answer.headers]


async def test_a_client_that_stalls_on_the_wire_hears_408_and_is_hung_up_on(settings, database_urls, acme):
    port = free_port()
    env = environment(settings, database_urls, SBA_API_PORT=str(port), SBA_REQUEST_TIMEOUT="1")
    with running("serve", env) as server:

        async def up():
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                assert server.poll() is None
                return False
            writer.close()
            return True

        await until(up)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        head = f"POST /v1/runs HTTP/1.1\r\nHost: x\r\nAuthorization: {acme['Authorization']}\r\n"
        writer.write(f"{head}Content-Type: application/json\r\nContent-Length: 99\r\n\r\n{{".encode())
        async with asyncio.timeout(DEADLINE):
            answer = await reader.read()
        writer.close()
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"body_timed_out" in answer


@pytest.mark.parametrize("command", ["serve", "worker", "migrate"])
def test_wrong_settings_end_a_command_with_status_2_and_one_message(command):
    env = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("SBA_", "SUPABASE_", "REDIS_"))
    }
    result = ended(command, env)
    assert result.returncode == 2
    assert "Traceback" not in result.stderr
    assert "SBA_" in result.stderr


def test_serving_does_not_import_the_queue():
    probe = "import sys, sba_api.app; print('procrastinate' in sys.modules, 'uvicorn' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert result.stdout.split() == ["False", "False"]
