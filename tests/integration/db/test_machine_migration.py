"""A database with runs and keys from before is carried over to indexes by user and to stored outcomes."""

from __future__ import annotations

import asyncio
import shutil
import uuid
from pathlib import Path

import psycopg
import pytest
from psycopg.rows import dict_row

from sba_db import Database, DatabaseSettings, Outcome, agent_runs, idempotency_keys, migrate, open_database
from sba_db.scripts import migrations_folder
from tests.fixtures.databases import Tenant, Urls
from tests.integration.db.conftest import new_run

INIT = "20261101000000_init"
KEYS = "select * from service.idempotency_keys order by key"
INDEX = """
select i.indisvalid as valid from pg_index i
where i.indexrelid = 'service.agent_runs_tenant_id_user_id_id_idx'::regclass
"""
OLD_RUN = """
insert into service.agent_runs (tenant_id, id, user_id, prompt) values (%s, %s, %s, 'hello')
"""
OLD_KEY = """
insert into service.idempotency_keys (tenant_id, operation, key, request_hash, resource_id, expires_at)
values (%s, 'agent_runs.create', %s, %s, %s, now() + interval '1 day')
"""


@pytest.fixture
def tenant() -> Tenant:
    return Tenant(uuid.uuid4(), uuid.uuid4(), "old")


@pytest.fixture
def old(blank_database: Urls, tenant: Tenant, tmp_path: Path) -> Urls:
    """As the first migration made it, with fifty runs under keys."""
    shutil.copytree(migrations_folder() / INIT, tmp_path / INIT)
    asyncio.run(migrate.migrate(blank_database.migrator, folder=tmp_path))
    digest = agent_runs._request_hash("hello", "{}")
    with psycopg.connect(blank_database.admin, autocommit=True) as connection:
        for number in range(50):
            run = uuid.UUID(int=(7 << 76) + number)
            connection.execute(OLD_RUN, (tenant.id, run, tenant.user))
            connection.execute(OLD_KEY, (tenant.id, f"k{number:02}", digest, run))
    return blank_database


def keys(urls: Urls) -> list[dict]:
    with psycopg.connect(urls.admin, row_factory=dict_row) as connection:
        return connection.execute(KEYS).fetchall()


async def charge(database: Database, tenant: Tenant) -> Outcome:
    async with database.tenant(tenant.id) as session:

        async def work() -> int:
            return 1

        return await idempotency_keys.once(session, operation="o", key="k", request={}, work=work)


async def test_rows_are_kept_as_they_were_and_old_keys_still_answer_their_runs(old, tenant):
    before = keys(old)
    await migrate.migrate(old.migrator)

    assert keys(old) == [row | {"outcome": None} for row in before]
    assert len(before) == 50
    with psycopg.connect(old.admin, row_factory=dict_row) as connection:
        assert connection.execute(INDEX).fetchone() == {"valid": True}
    async with open_database(DatabaseSettings(url=old.app)) as database:
        again = await new_run(database, tenant, idempotency_key="k07")
        assert (again.replayed, again.id) == (True, uuid.UUID(int=(7 << 76) + 7))
        page = await agent_runs.list_runs(database.reader(tenant.id), user_id=tenant.user, limit=200)
        assert len(page.items) == 50
        assert [(await charge(database, tenant)).replayed for _ in range(2)] == [False, True]


async def test_an_application_of_before_goes_on_writing_keys_after_the_migration(old, tenant):
    """Its statements name neither the new column nor an empty reference."""
    await migrate.migrate(old.migrator)
    async with open_database(DatabaseSettings(url=old.app)) as database:
        first = await new_run(database, tenant, idempotency_key="new")
        second = await new_run(database, tenant, idempotency_key="new")

    assert (second.id, second.replayed) == (first.id, True)
