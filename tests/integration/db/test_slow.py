"""The log of slow statements, on the real server."""

from __future__ import annotations

import io
import json
import uuid
from collections.abc import AsyncIterator, Iterator

import pytest

from sba_db import Database, DatabaseSettings, DatabaseTimeout, agent_runs, open_database
from sba_telemetry import configure_logging, reset_logging
from tests.integration.db.conftest import new_run, until

SECRET = "correct horse battery"
SLEEP = "select pg_sleep(0.05), %(tenant)s::uuid, %(text)s::text"


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    stream = io.StringIO()
    configure_logging(service="test", stream=stream)
    yield stream
    reset_logging()


def lines(stream: io.StringIO, event: str) -> list[dict]:
    return [line for line in map(json.loads, stream.getvalue().splitlines()) if line["event"] == event]


@pytest.fixture(params=["direct", "pooler"])
async def explaining(request, database_urls) -> AsyncIterator[Database]:
    """Every statement is slow, and its plan is wanted."""
    settings = DatabaseSettings(
        url=database_urls.app, slow_query=0.0, explain_slow=True, pooler=request.param == "pooler"
    )
    async with open_database(settings) as database:
        yield database


async def plans(stream: io.StringIO, method: str) -> list[dict]:
    async def told() -> bool:
        return any(line["method"] == method for line in lines(stream, "slow_statement_plan"))

    await until(told)
    return [line for line in lines(stream, "slow_statement_plan") if line["method"] == method]


async def test_a_statement_over_the_threshold_is_logged_and_one_below_is_not(database_urls, a, stream):
    async with open_database(DatabaseSettings(url=database_urls.app, slow_query=0.04)) as database:
        await database.reader(a.id).fetch_all(SLEEP, {"text": SECRET})
    async with open_database(DatabaseSettings(url=database_urls.app, slow_query=30.0)) as database:
        await database.reader(a.id).fetch_all(SLEEP, {"text": SECRET})

    (line,) = lines(stream, "slow_statement")
    assert line["milliseconds"] >= 40
    assert (line["rows"], line["method"], line["outcome"]) == (1, "none", "ok")
    assert line["statement"] == "select pg_sleep(?), %(tenant)s::uuid, %(text)s::text"


async def test_without_a_threshold_nothing_is_watched(database_urls, a, stream):
    async with open_database(DatabaseSettings(url=database_urls.app, slow_query=None)) as database:
        await database.reader(a.id).fetch_all(SLEEP, {"text": SECRET})

    assert lines(stream, "slow_statement") == []


async def test_a_statement_that_ran_into_its_limit_is_logged_too(database_urls, a, stream):
    settings = DatabaseSettings(url=database_urls.app, statement_timeout=0.1, slow_query=0.05)
    async with open_database(settings) as database:
        with pytest.raises(DatabaseTimeout):
            await database.reader(a.id).fetch_all("select pg_sleep(30), %(tenant)s::uuid")

    (line,) = lines(stream, "slow_statement")
    assert (line["outcome"], line["rows"]) == ("QueryCanceled", None)


async def test_a_read_names_its_method_and_its_plan_has_no_values(explaining, database, a, stream):
    run = await new_run(database, a)
    await agent_runs.get_run(explaining.reader(a.id), run.id)

    (told,) = await plans(stream, "agent_runs.get_run")
    (line,) = [one for one in lines(stream, "slow_statement") if one["method"] == "agent_runs.get_run"]
    assert line["fingerprint"] == told["fingerprint"]
    assert "on agent_runs r  (cost=" in told["plan"]
    assert str(a.id) not in stream.getvalue()
    assert str(run.id) not in stream.getvalue()


async def test_a_write_is_explained_without_being_carried_out_again(explaining, a, stream):
    await new_run(explaining, a, prompt=SECRET, idempotency_key=SECRET)

    (told,) = await plans(stream, "agent_runs.create_run")
    assert "Insert on agent_runs" in told["plan"]
    assert SECRET not in stream.getvalue()
    page = await agent_runs.list_runs(explaining.reader(a.id))
    assert len(page.items) == 1


SEEN = """
create function public.seen() returns text immutable language sql as $$
    select current_setting('app.tenant_id', true)
$$
"""


async def test_a_plan_is_made_as_the_same_tenant(explaining, superuser, a, stream):
    """A function that claims to be immutable is evaluated while planning, and so tells who plans."""
    superuser.execute(SEEN)
    superuser.execute("grant execute on function public.seen() to sba_app")
    query = "select 1 as n from service.agent_runs where tenant_id = %(tenant)s and public.seen() = '{}'"
    foreign = superuser.execute("explain " + query.format(a.id).replace("%(tenant)s", f"'{a.id}'")).fetchall()
    assert "One-Time Filter: false" in str(foreign)

    await explaining.reader(a.id).fetch_all(query.format(a.id))

    (told,) = await plans(stream, "none")
    assert "on agent_runs" in told["plan"]
    assert "One-Time Filter: false" not in told["plan"]


async def test_a_statement_whose_plan_cannot_be_made_costs_a_line_and_no_more(
    database_urls, superuser, a, stream
):
    settings = DatabaseSettings(url=database_urls.app, slow_query=0.0, explain_slow=True)
    async with open_database(settings) as database:
        await database.ping()
        superuser.execute(f"revoke connect on database {database_urls.name} from public, sba_app")
        await agent_runs.get_run(database.reader(a.id), uuid.uuid4())

        async def told() -> bool:
            return bool(lines(stream, "slow_statement_not_explained"))

        await until(told)
        assert await agent_runs.get_run(database.reader(a.id), uuid.uuid4()) is None
