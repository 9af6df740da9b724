"""The migration on a database with no storage, and on one whose storage comes later."""

from __future__ import annotations

import psycopg

from sba_local.supabase.installing import install, install_policies
from sba_supabase.migrate import migrate

POLICIES = "select policyname from pg_policies where schemaname = 'storage' order by 1"


async def policies(url):
    async with await psycopg.AsyncConnection.connect(url) as connection:
        return [name for (name,) in await (await connection.execute(POLICIES)).fetchall()]


async def test_without_storage_it_does_nothing_and_storage_may_come_later(blank_database):
    assert "20261201000002_storage" in await migrate(blank_database.migrator)
    assert await policies(blank_database.admin) == []
    await install(blank_database.admin, "secret")
    for _ in range(2):
        await install_policies(blank_database.admin)
    names = await policies(blank_database.admin)
    assert names == [f"tenant_files_{what}" for what in ("add", "change", "read", "remove")]


async def test_where_the_owner_may_not_write_policies_the_rest_is_migrated_all_the_same(blank_database):
    await install(blank_database.admin, "secret")
    assert "20261201000002_storage" in await migrate(blank_database.migrator)
    assert await policies(blank_database.admin) == []
