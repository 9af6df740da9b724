"""A worker in a process of its own, for tests that kill it."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

from sba_agents import Dependencies, ExecutionSettings, LeaseTimes, NoBarriers, Runner
from sba_agents.jobs import WorkerSettings, run_worker
from sba_db.database import DatabaseSettings, open_database
from tests.integration.agents.stand_ins import StopAt, ThreeSteps, UsesTool, file_journal


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def runner_of(order: dict[str, str]) -> Runner:
    if order["point"] == "tool_started":
        return UsesTool("calculator", {"expression": "1+1"})
    return ThreeSteps(file_journal(Path(order["journal"])))


async def main(order: dict[str, str]) -> None:
    async with open_database(DatabaseSettings(url=order["app"])) as database:
        dependencies = Dependencies(
            database=database,
            runner=runner_of(order),
            settings=ExecutionSettings(lease=LeaseTimes(ttl=1.0, interval=0.2)),
            barriers=StopAt(order["point"], say) if order["point"] else NoBarriers(),
        )
        settings = WorkerSettings(
            url=order["worker"],
            poll_interval=0.1,
            heartbeat_interval=0.2,
            stalled_after=1.0,
            recovery_interval=0.2,
        )
        say("working")
        await run_worker(settings, dependencies=dependencies, stop=asyncio.Event())


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1])))
