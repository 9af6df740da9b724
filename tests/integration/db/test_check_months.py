"""`check` says when nobody has made the months, and when rows wait for theirs."""

from __future__ import annotations

import uuid

import pytest

from sba_db import new_id
from sba_db.check import check
from sba_db.retention import Policy, retention
from tests.integration.db.months import PARTITIONED, month, partition, query, write_history


async def problems(urls):
    return [str(one) for one in await check(urls.migrator, rehearse=False)]


async def test_a_month_that_nobody_has_made_is_named_with_what_to_do(database_urls):
    for number in (0, 1, 2):
        query(database_urls.admin, f"drop table service.{partition('run_events', number)}")

    assert await problems(database_urls) == [
        f"run_events: there is no partition of {month(number):%Y-%m}: run `sba-db retention`"
        for number in (0, 1)
    ]
    await retention(database_urls.migrator, Policy())
    assert await problems(database_urls) == []


async def test_rows_without_a_month_of_their_own_are_named_until_retention_has_moved_them(database_urls):
    write_history(database_urls.admin, uuid.uuid4(), start=month(-3), end=month(-3, day=2), every=43_200.0)

    assert await problems(database_urls) == [
        f"{table}_default: holds rows of {month(-3):%Y-%m}: run `sba-db retention`" for table in PARTITIONED
    ]
    await retention(database_urls.migrator, Policy())
    assert await problems(database_urls) == []


async def test_rows_whose_ids_tell_no_real_time_wait_for_no_month(database_urls):
    query(
        database_urls.admin,
        "insert into service.audit_logs (tenant_id, id, action, resource_type, resource_id)"
        " values (%s, %s, 'a', 'b', 'c')",
        (new_id(), uuid.UUID("f0000000-0000-4000-8000-000000000000")),
    )

    assert await problems(database_urls) == []


@pytest.mark.parametrize("gone", ["function service.month_partitions()", "table service.run_events_default"])
async def test_what_is_missing_otherwise_hides_nothing_else(database_urls, gone):
    query(database_urls.admin, f"drop {gone} cascade")
    query(database_urls.admin, "alter table service.tool_calls add column drift int")

    assert "tool_calls.drift: column is not in schema.prisma" in await problems(database_urls)
