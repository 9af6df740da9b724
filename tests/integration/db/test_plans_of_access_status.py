"""A list of runs by status reads the runs of that status alone, however rare it is among the tenant's."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row

from sba_db import RunStatus, agent_runs
from tests.integration.db.months import ID_AT, query
from tests.integration.db.plans import Explainer

EACH = 500
RARE = 3
INDEX = {status: f"agent_runs_{status}_idx" for status in RunStatus}
TENANTS = {status: uuid.UUID(int=number << 64) for number, status in enumerate(RunStatus, 1)}
RUNS = """
insert into service.agent_runs
    (tenant_id, id, user_id, prompt, status, lease_holder, lease_expires_at, error, finished_at)
select %(tenant)s, pg_temp.id_at(now() - make_interval(secs => n)), %(tenant)s, 'p', status,
       case status when 'running' then 'w' end, case status when 'running' then now() end,
       case status when 'failed' then '{}'::jsonb end,
       case when status in ('succeeded', 'failed', 'cancelled') then now() end
from unnest(enum_range(null::service.run_status)) status,
     generate_series(1, case status when %(rare)s::service.run_status then %(few)s else %(many)s end) n
"""


@pytest.fixture
def skewed(database_urls) -> str:
    """For each status a tenant that has few runs of it and many of every other: among all, none is rare."""
    with psycopg.connect(database_urls.admin) as connection:
        connection.execute(ID_AT)
        for status, tenant in TENANTS.items():
            connection.execute(RUNS, {"tenant": tenant, "rare": status, "few": RARE, "many": EACH})
    return database_urls.admin


@pytest.fixture(params=["analyzed", "never analyzed"])
def stocked(request, skewed, database_urls) -> str:
    if request.param == "analyzed":
        query(skewed, "vacuum analyze service.agent_runs")
    return database_urls.app


@pytest.fixture(params=["custom", "generic"])
def generic(request) -> bool:
    return request.param == "generic"


async def read(url: str, status: RunStatus, *, generic: bool, **filters: Any) -> tuple[int, dict[str, int]]:
    """How many runs were listed for the tenant with few of a status, and what was read for it."""
    with psycopg.connect(url, row_factory=dict_row) as connection:
        explainer = Explainer(connection, TENANTS[status], generic=generic)
        page = await agent_runs.list_runs(explainer, status=status, **filters)
        connection.rollback()
    assert {run.status for run in page.items} == {status}
    return len(page.items), explainer.touched()


async def test_every_status_is_listed_from_the_index_of_its_runs_alone(stocked, generic):
    found = {status: await read(stocked, status, generic=generic) for status in RunStatus}

    assert found == {status: (RARE, {INDEX[status]: 1}) for status in RunStatus}


async def test_every_status_within_a_span_of_time_is_too(stocked, generic):
    span = {"since": datetime.now(UTC) - timedelta(days=1), "until": datetime.now(UTC) + timedelta(days=1)}
    found = {status: await read(stocked, status, generic=generic, **span) for status in RunStatus}

    assert found == {status: (RARE, {INDEX[status]: 1}) for status in RunStatus}


async def test_a_status_that_most_runs_have_is_listed_from_its_index_as_well(stocked, generic):
    with psycopg.connect(stocked, row_factory=dict_row) as connection:
        explainer = Explainer(connection, TENANTS[RunStatus.RUNNING], generic=generic)
        page = await agent_runs.list_runs(explainer, status=RunStatus.SUCCEEDED, limit=20)
        connection.rollback()

    assert len(page.items) == 20
    assert explainer.touched() == {INDEX[RunStatus.SUCCEEDED]: 1}


async def test_the_index_of_a_status_holds_nothing_else(skewed):
    found = query(
        skewed,
        "select pg_get_expr(i.indpred, i.indrelid) from pg_index i"
        " where i.indrelid = 'service.agent_runs'::regclass and i.indpred is not null order by 1",
    )

    assert found == sorted(f"(status = '{status}'::service.run_status)" for status in RunStatus)
