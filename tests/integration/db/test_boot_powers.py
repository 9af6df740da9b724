"""A login that could step around row level security in any way is refused at boot."""

from __future__ import annotations

import uuid
from urllib.parse import quote

import psycopg
import pytest

from sba_db import DatabaseSettings, UnsafeRole, open_database

POWERS = [
    ("grant sba_sealer to {name}", "may act as sba_sealer"),
    ("grant sba_owner to {name} with admin option", "may act as sba_owner"),
    (
        "create role {name}_mid nologin; grant sba_owner to {name}_mid; grant {name}_mid to {name}",
        "sba_owner",
    ),
    ("alter role {name} createrole", "make itself a member"),
    ("alter role {name} replication", "may replicate"),
    ("grant pg_read_server_files to {name}", "files or programs"),
    ("grant pg_execute_server_program to {name}", "files or programs"),
    ("alter table service.system_health owner to {name}", "owns a table"),
    ("alter schema service owner to {name}", "owns a table"),
]


@pytest.fixture
def login(database_urls, superuser):
    """A new login, and how it connects."""
    name = f"p_{uuid.uuid4().hex[:8]}"
    superuser.execute(f"create role {name} login password 'x'")
    superuser.execute(f"grant connect on database {database_urls.name} to {name}")
    yield name, database_urls.app.replace("sba_app:app-pw", f"{name}:x")
    for role in (name, f"{name}_mid"):
        if superuser.execute("select from pg_roles where rolname = %s", (role,)).fetchone() is not None:
            superuser.execute(
                f"reassign owned by {role} to sba_owner; drop owned by {role}; drop role {role}"
            )


async def test_a_login_without_any_power_is_accepted(login):
    async with open_database(DatabaseSettings(url=login[1])) as database:
        await database.verify_role()


@pytest.mark.parametrize(("power", "words"), POWERS)
async def test_a_login_with_a_power_is_refused_and_named(superuser, login, power, words):
    name, url = login
    superuser.execute(power.format(name=name))
    async with open_database(DatabaseSettings(url=url)) as database:
        with pytest.raises(UnsafeRole, match=words) as refused:
            await database.ready(within=20)

    assert refused.value.role == name


async def test_a_superuser_that_puts_on_the_applications_role_is_still_one(database_urls):
    """Whoever may `reset role` is what they were."""
    url = psycopg.conninfo.make_conninfo(database_urls.admin, options="-c role=sba_app")
    async with open_database(DatabaseSettings(url=url)) as database:
        row = await database.system("select current_user::text as acting")
        with pytest.raises(UnsafeRole, match="superuser"):
            await database.verify_role()

    assert row == [{"acting": "sba_app"}]


async def test_so_it_is_when_the_role_is_put_on_by_default(database_urls, superuser, login):
    name, url = login
    superuser.execute(f"alter role {name} bypassrls; grant sba_app to {name}")
    async with open_database(DatabaseSettings(url=f"{url}?options={quote('-c role=sba_app')}")) as database:
        with pytest.raises(UnsafeRole, match="bypasses row level security"):
            await database.verify_role()
