"""Behind PgBouncer in transaction mode, where clients take turns on a connection, tenants stay apart."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row

from sba_db import (
    Database,
    DatabaseError,
    DatabaseSettings,
    DatabaseUnavailable,
    MembershipDenied,
    agent_runs,
    agent_steps,
    open_database,
)
from sba_supabase.tenant import ENTER_TENANT
from tests.fixtures.databases import Tenant, Urls
from tests.integration.db.bouncer import PROGRAM, SERVERS, bouncer
from tests.integration.db.conftest import claim, new_run

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="there is no pgbouncer on this machine")

TRANSACTIONS = 1_000
AT_ONCE = 16
CLIENTS = 12
SEEN = """
select r.tenant_id, pg_backend_pid() as pid, current_setting('app.tenant_id', true) as setting
from service.agent_runs r where %(tenant)s::uuid is not null
"""
WRITE = """
insert into service.usage_metrics as u (tenant_id, period, metric, value)
values (%(tenant)s, '2026-01-01', %(metric)s, 1)
on conflict (tenant_id, period, metric) do update set value = u.value + 1
"""
BACKENDS = """
select count(*) as n from pg_stat_activity where usename = 'sba_app' and datname = current_database()
"""
LEFT = "select nullif(current_setting('app.tenant_id', true), '') as tenant, pg_backend_pid() as pid"


@pytest.fixture
def through(database_urls: Urls) -> Iterator[str]:
    with bouncer(database_urls) as url:
        yield url


@pytest.fixture
async def pooled(through: str) -> AsyncIterator[Database]:
    settings = DatabaseSettings(
        url=through, pooler=True, max_size=CLIENTS, enter_member=ENTER_TENANT, pool_timeout=30
    )
    async with open_database(settings) as database:
        yield database


class Course:
    """How far one transaction has come, and at which of its statements it is to be cut off."""

    def __init__(self, cut_at: int | None) -> None:
        self.cut_at = cut_at
        self.asked = 0
        self.reached = asyncio.Event()

    def ask(self) -> None:
        if self.asked == self.cut_at:
            self.reached.set()
        self.asked += 1


@dataclass(slots=True)
class Storm:
    """Transactions of two tenants at once, some of them cut off, and what they saw."""

    database: Database
    tenants: tuple[Tenant, Tenant]
    random: random.Random
    leaks: list[Any] = field(default_factory=list)
    served: dict[int, set[Any]] = field(default_factory=dict)
    written: Counter[Any] = field(default_factory=Counter)
    cut: Counter[int] = field(default_factory=Counter)

    async def rage(self, transactions: int) -> Counter[str]:
        """How each transaction ended, by the name of what ended it."""
        ends: Counter[str] = Counter()
        waiting = iter(range(transactions))

        async def client() -> None:
            for turn in waiting:
                ends[await self._one(turn)] += 1

        await asyncio.gather(*(client() for _ in range(AT_ONCE)))
        return ends

    async def _one(self, turn: int) -> str:
        tenant = self.tenants[self.random.random() < 0.5]
        work = self.random.choice((self._read, self._write, self._several))
        course = Course(self.random.randrange(4) if turn % 2 else None)
        task = asyncio.create_task(work(tenant, course))
        if course.cut_at is not None:
            await self._cut_off(task, course)
        (ended,) = await asyncio.gather(task, return_exceptions=True)
        if isinstance(ended, asyncio.CancelledError):
            self.cut[course.asked] += 1
        elif isinstance(ended, BaseException):
            raise ended
        return type(ended).__name__ if ended else "done"

    async def _cut_off(self, task: asyncio.Task[None], course: Course) -> None:
        arrival = asyncio.create_task(course.reached.wait())
        await asyncio.wait({task, arrival}, return_when=asyncio.FIRST_COMPLETED)
        arrival.cancel()
        for _ in range(self.random.randrange(12)):
            await asyncio.sleep(0)
        task.cancel()

    def _note(self, tenant: Tenant, rows: list[dict[str, Any]]) -> None:
        for row in rows:
            self.served.setdefault(row["pid"], set()).add(row["tenant_id"])
            if row["tenant_id"] != tenant.id or row["setting"] != str(tenant.id):
                self.leaks.append((tenant.id, row))

    async def _read(self, tenant: Tenant, course: Course) -> None:
        for _ in range(2):
            course.ask()
            reader = self.database.reader(tenant.id, member=tenant.user)
            self._note(tenant, await reader.fetch_all(SEEN))

    async def _write(self, tenant: Tenant, course: Course) -> None:
        async with self.database.tenant(tenant.id) as session:
            course.ask()
            await session.execute(WRITE, {"metric": "storm"})
            course.ask()
        self.written[tenant.id] += 1

    async def _several(self, tenant: Tenant, course: Course) -> None:
        async with self.database.tenant(tenant.id, member=tenant.user) as session:
            for _ in range(4):
                course.ask()
                self._note(tenant, await session.fetch_all(SEEN))


async def test_a_thousand_transactions_with_cancellations_leak_no_tenant(pooled, through, superuser, a, b):
    for tenant in (a, b):
        await new_run(pooled, tenant)
    storm = Storm(pooled, (a, b), random.Random(20261))
    ends = await storm.rage(TRANSACTIONS)

    assert ends.total() == TRANSACTIONS
    assert storm.cut[1] >= 50, "few were cut off at their first statement"
    assert storm.cut[2] + storm.cut[3] + storm.cut[4] >= 50, "few were cut off half way"
    assert ends["done"] > TRANSACTIONS // 4
    assert storm.leaks == []
    assert superuser.execute(BACKENDS).fetchone()["n"] <= SERVERS < pooled._pool.size
    assert {a.id, b.id} in storm.served.values(), "no connection has served both tenants"
    for tenant in (a, b):
        counted = superuser.execute(
            "select value from service.usage_metrics where tenant_id = %s", (tenant.id,)
        ).fetchone()
        assert 0 <= counted["value"] - storm.written[tenant.id] <= ends["CancelledError"]
    assert await left_behind(through) == {None}


async def left_behind(url: str) -> set[str | None]:
    """The tenants that clients without one find on every connection of the pooler."""
    clients = [
        await psycopg.AsyncConnection.connect(url, row_factory=dict_row, prepare_threshold=None)
        for _ in range(SERVERS)
    ]
    try:
        found = [await (await client.execute(LEFT)).fetchone() for client in clients]
    finally:
        for client in clients:
            await client.close()
    assert len({row["pid"] for row in found if row}) == SERVERS
    return {row["tenant"] for row in found if row}


async def test_a_tenant_set_for_the_session_would_have_been_found(through, a):
    async with await psycopg.AsyncConnection.connect(through, prepare_threshold=None) as careless:
        await careless.execute("select set_config('app.tenant_id', %s, false)", (str(a.id),))
        await careless.commit()

    assert str(a.id) in await left_behind(through)


async def test_a_run_is_created_claimed_written_and_finished_through_the_pooler(pooled, a):
    run = await new_run(pooled, a, idempotency_key="k")
    again = await new_run(pooled, a, idempotency_key="k")
    lease = await claim(pooled, a, run.id)
    async with pooled.tenant(a.id) as session:
        await agent_steps.append_steps(
            session, lease=lease, steps=[agent_steps.NewStep(kind="k", input={}, output="50% %s")] * 20
        )
        await agent_runs.complete_run(session, lease=lease, result={"ok": True}, duration_ms=1)

    assert again.replayed
    assert [step.output for step in await agent_steps.list_steps(pooled.reader(a.id), run.id)] == [
        "50% %s"
    ] * 20


async def test_who_is_no_member_is_refused_through_the_pooler_and_leaves_nothing(pooled, through, a, b):
    for _ in range(SERVERS * 2):
        with pytest.raises(MembershipDenied):
            await agent_runs.list_runs(pooled.reader(a.id, member=b.user))

    assert await left_behind(through) == {None}


async def test_a_database_that_takes_the_pooler_for_postgres_is_told_at_once(through):
    async with open_database(DatabaseSettings(url=through, pooler=False)) as database:
        with pytest.raises(DatabaseUnavailable):
            await database.ping()


async def test_a_client_that_fails_in_mid_transaction_leaves_the_connection_clean(pooled, through, a):
    for _ in range(SERVERS * 2):
        with pytest.raises(DatabaseError):
            async with pooled.tenant(a.id) as session:
                await session.fetch_all("select 1 / 0 where %(tenant)s::uuid is not null")

    assert await left_behind(through) == {None}
