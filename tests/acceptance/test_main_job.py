"""What the README promises, done as its reader would do it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import psutil
import socketio

from tests.acceptance.conftest import SBA_LOCAL, Platform, start, stop

TERMINAL = {"run.succeeded", "run.failed", "run.cancelled"}


def caller(platform: Platform, token: str) -> httpx.Client:
    headers = {"Authorization": f"Bearer {token}"}
    return httpx.Client(base_url=platform.environment["SBA_API_URL"], headers=headers, timeout=20)


def wait_for(condition: Callable[[], bool], *, seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def finished_run(http: httpx.Client, prompt: str) -> dict[str, Any]:
    accepted = http.post("/v1/runs", json={"prompt": prompt}, headers={"Idempotency-Key": uuid.uuid4().hex})
    assert accepted.status_code == 202, accepted.text
    run = accepted.json()

    def ended() -> bool:
        run.update(http.get(f"/v1/runs/{run['id']}").json())
        return run["status"] not in {"queued", "running"}

    wait_for(ended)
    return dict(run)


async def watch(
    platform: Platform, token: str, run_id: str, *, after: int = 0, until: int | None = None
) -> list[int]:
    """The sequence numbers that a stock client receives."""
    seen: list[int] = []
    over = asyncio.Event()

    async def on_event(event: dict[str, Any]) -> None:
        seen.append(event["seq"])
        if event["type"] in TERMINAL or event["seq"] == until:
            over.set()

    client = socketio.AsyncClient()
    client.on("run:event", on_event)
    await client.connect(platform.environment["SBA_WS_URL"], auth={"token": token})
    try:
        answer = await client.call("run:subscribe", {"run_id": run_id, "after": after})
        assert answer["ok"], answer
        await asyncio.wait_for(over.wait(), 20)
    finally:
        await client.disconnect()
    return seen


def test_up_prints_a_token_and_a_first_curl_that_work(platform: Platform) -> None:
    token = re.search(r"TOKEN=(\S+)", platform.greeting)
    assert token
    with caller(platform, token[1]) as http:
        run = finished_run(http, "How many days do espresso roasts rest before they are packed?")
    assert run["status"] == "succeeded"
    assert run["result"]["citations"][0]["title"] == "Resting roasted beans"
    assert "ten days" in " ".join(run["result"]["answer"].split())
    if shutil.which("curl"):
        shell = platform.greeting.partition("what became of it:")[2]
        printed = subprocess.run(
            ["sh", "-c", f"TOKEN={token[1]}\n{shell}"], capture_output=True, text=True, check=True
        )
        assert '"items"' in printed.stdout


async def test_a_stock_client_gets_every_event_in_order_early_late_and_again(platform: Platform) -> None:
    token = platform.token("acme", "ada")
    with caller(platform, token) as http:
        created = await asyncio.to_thread(http.post, "/v1/runs", json={"prompt": "Where is chaff emptied?"})
        run_id = created.json()["id"]
        early = await watch(platform, token, run_id)
    assert early == list(range(1, len(early) + 1))
    assert len(early) >= 4
    assert await watch(platform, token, run_id) == early
    first_half = await watch(platform, token, run_id, until=2)
    rest = await watch(platform, token, run_id, after=2)
    assert first_half[:2] + rest == early


def test_a_token_of_a_tenant_nobody_knew_lets_its_user_in(platform: Platform) -> None:
    token = platform.token(str(uuid.uuid4()), str(uuid.uuid4()))
    with caller(platform, token) as http:
        assert http.get("/v1/runs").json()["items"] == []


def test_an_expired_token_is_refused_with_a_problem(platform: Platform) -> None:
    token = platform.token("acme", "ada", "--ttl", "-3600")
    with caller(platform, token) as http:
        answer = http.get("/v1/runs")
    assert answer.status_code == 401
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_neighbour_gets_the_same_404_for_what_exists_and_what_does_not(platform: Platform) -> None:
    with caller(platform, platform.token("acme", "ada")) as acme:
        run = acme.post("/v1/runs", json={"prompt": "calculate: 6 * 7"}).json()
    with caller(platform, platform.token("globex", "gita")) as globex:
        answers = [globex.get(f"/v1/runs/{run_id}") for run_id in (run["id"], uuid.uuid4())]
    assert [answer.status_code for answer in answers] == [404, 404]
    bodies = [{**answer.json(), "request_id": ""} for answer in answers]
    assert bodies[0] == bodies[1]


def processes_of(platform: Platform) -> list[psutil.Process]:
    """The supervisor's whole family, oldest first."""
    supervisor = psutil.Process(platform.process.pid)
    return [supervisor, *supervisor.children(recursive=True)]


def part_of(platform: Platform, *words: str) -> psutil.Process:
    """The process of the family whose command line ends in these words."""
    for process in processes_of(platform):
        with contextlib.suppress(psutil.Error):
            if tuple(Path(word).name for word in process.cmdline()[-len(words) :]) == words:
                return process
    raise AssertionError(f"no {' '.join(words)} runs")


def test_a_killed_worker_is_not_the_end_of_its_runs(platform: Platform) -> None:
    with caller(platform, platform.token("acme", "ada")) as http:
        made = [
            http.post("/v1/runs", json={"prompt": f"Is chaff emptied {n} times?"}).json() for n in range(12)
        ]
        part_of(platform, "sba-api", "worker").kill()
        wanted = {run["id"] for run in made}

        def succeeded() -> bool:
            time.sleep(0.3)  # a caller has its limits
            items = http.get("/v1/runs", params={"status": "succeeded", "limit": 100}).json()["items"]
            return wanted <= {run["id"] for run in items}

        wait_for(succeeded, seconds=60)
        for run in made:
            events = http.get(f"/v1/runs/{run['id']}/events").json()["items"]
            assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
            assert [event["type"] for event in events].count("run.succeeded") == 1
            steps = [step["name"] for step in http.get(f"/v1/runs/{run['id']}/steps").json()["items"]]
            assert len(steps) == len(set(steps)) == 3


def test_without_postgres_the_answer_is_503_and_it_heals_by_itself(platform: Platform) -> None:
    with caller(platform, platform.token("acme", "ada")) as http:
        kept = http.post("/v1/runs", json={"prompt": "calculate: 6 * 7"}).json()
        servers = [each for each in processes_of(platform) if each.name() == "postgres"]
        min(servers, key=psutil.Process.create_time).kill()
        seen: list[httpx.Response] = []

        def answered(status: int) -> bool:
            time.sleep(0.1)  # a caller has its limits
            seen.append(http.get(f"/v1/runs/{kept['id']}"))
            return seen[-1].status_code == status

        wait_for(lambda: answered(503))
        assert int(seen[-1].headers["retry-after"]) >= 1
        assert seen[-1].headers["content-type"] == "application/problem+json"
        wait_for(lambda: answered(200))
        assert {answer.status_code for answer in seen} <= {200, 503}


def test_kill_9_leaves_nothing_and_a_second_up_finds_the_data(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        for folder in (tmp_path, *tmp_path.parents[:3]):
            folder.chmod(0o755)
    first = start(tmp_path / "data")
    family = processes_of(first)
    assert len(family) > 6
    with caller(first, first.token("acme", "ada")) as http:
        run = finished_run(http, "calculate: 6 * 7")
    os.kill(first.process.pid, signal.SIGKILL)
    _, alive = psutil.wait_procs(family, timeout=20)
    assert alive == []
    first.process.communicate()
    second = start(tmp_path / "data")
    with caller(second, second.token("acme", "ada")) as http:
        again = http.get(f"/v1/runs/{run['id']}").json()
    assert again["result"] == run["result"]
    assert stop(second) == 0


def test_a_command_gets_the_environment_and_its_status_is_passed_on(tmp_path: Path) -> None:
    command = [SBA_LOCAL, "up", "--", sys.executable, "-c", ASKS_FOR_HEALTH]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=90)
    assert ended.returncode == 7, ended.stderr


ASKS_FOR_HEALTH = """
import os, urllib.request
urllib.request.urlopen(os.environ["SBA_API_URL"] + "/healthz")
raise SystemExit(7)
"""
BROKEN_STORY = """
import os
from sba_local.demo import run
world = dict(os.environ)
world["SBA_TENANT_B"], world["SBA_USER_B"] = world["SBA_TENANT_A"], world["SBA_USER_A"]
raise SystemExit(run(world))
"""


def test_the_demo_names_the_promise_that_broke_and_exits_1(tmp_path: Path) -> None:
    command = [SBA_LOCAL, "up", "--", sys.executable, "-c", BROKEN_STORY]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=90)
    assert ended.returncode == 1, ended.stdout + ended.stderr
    assert "broken promise: " in ended.stderr
