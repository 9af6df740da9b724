"""Statements that would step out of their session, by settings or by a second statement, are not sent."""

from __future__ import annotations

import pytest

from sba_db import (
    InvalidValue,
    ReadOnlySession,
    StatementFailed,
    StatementRefused,
    agent_runs,
)
from sba_db import system_health as health
from tests.integration.db.conftest import new_run

ESCAPES = [
    "with other as materialized (select set_config('app.tenant_id', %(other)s, true))"
    " select r.prompt, %(tenant)s::uuid from other, service.agent_runs r",
    "select SET_CONFIG('app.tenant_id', %(other)s, false), %(tenant)s::uuid",
    "select pg_catalog.set_config/**/('role', %(other)s, false), %(tenant)s::uuid",
    "select %(tenant)s::uuid, %(other)s::text; select set_config('app.tenant_id', '', false)",
    "select U&\"set\\005fconfig\"('app.tenant_id', %(other)s, false), %(tenant)s::uuid",
    "update pg_settings set setting = %(other)s where name = 'row_security' and %(tenant)s::text <> ''",
]
NO_ROWS = [
    "set app.tenant_id = %(other)s -- %(tenant)s",
    "set session app.tenant_id to %(other)s /* %(tenant)s */",
    "-- first words\n commit /* %(tenant)s %(other)s */",
    "rollback /* %(tenant)s %(other)s */",
    "reset all -- %(tenant)s %(other)s",
    "do $do$ begin execute 'set app.tenant_id = ' || %(other)s; perform %(tenant)s; end $do$",
]
MORE = [
    "select %(tenant)s::uuid, %(other)s::text; commit; set role sba_worker",
    "select %(tenant)s::uuid, %(other)s::text; -- and then\n select 2",
    "select ';', %(tenant)s::uuid, %(other)s::text /* ; */ ; select 2",
    "select %(tenant)s::uuid as a$$; set app.tenant_id = %(other)s; select 1 as b$$",
    "select %(tenant)s::uuid, date'\\'; set app.tenant_id = %(other)s; select '1'",
]
ONE = [
    "select %(tenant)s::uuid, %(other)s::text;",
    "select ';', %(tenant)s::uuid, %(other)s::text ; -- the end; really",
    'select %(tenant)s::uuid, %(other)s::text /* ; */ , $$ ; $$, "a;b" from (select 1 as "a;b") x',
    r"select %(tenant)s::uuid, %(other)s::text, E'\'; ', $a$ ; $a$",
    "-- first; words\n(with x as (select %(tenant)s::uuid, %(other)s::text) table x)",
]
STANDING = """
select coalesce(current_setting('app.tenant_id', true), '') as tenant, current_user::text as login,
       (select count(*) from service.agent_runs) as runs
"""


@pytest.mark.parametrize("query", ESCAPES)
async def test_a_statement_cannot_choose_another_tenant(either, a, b, query):
    await new_run(either, b, prompt="secret of b")
    given = {"other": str(b.id)}
    with pytest.raises(StatementRefused, match="settings"):
        await either.reader(a.id).fetch_all(query, given)
    with pytest.raises(StatementRefused, match="settings"):
        async with either.tenant(a.id) as session:
            await session.fetch_all(query, given)

    assert await either.system(STANDING) == [{"tenant": "", "login": "sba_app", "runs": 0}]


@pytest.mark.parametrize("query", NO_ROWS)
async def test_a_statement_that_is_not_about_rows_is_not_sent(either, a, b, query):
    given = {"other": str(b.id)}
    with pytest.raises(StatementRefused, match="rows"):
        await either.reader(a.id).fetch_all(query, given)
    with pytest.raises(StatementRefused, match="rows"):
        async with either.tenant(a.id) as session:
            await session.execute(query, given)

    assert await either.system(STANDING) == [{"tenant": "", "login": "sba_app", "runs": 0}]


@pytest.mark.parametrize("query", MORE)
async def test_a_statement_is_one_statement_in_both_forms(either, a, query):
    with pytest.raises(StatementRefused, match="more than one"):
        await either.reader(a.id).fetch_all(query, {"other": "x"})
    with pytest.raises(StatementRefused, match="more than one"):
        async with either.tenant(a.id) as session:
            await session.execute(query, {"other": "x"})


@pytest.mark.parametrize("query", ONE)
async def test_semicolons_that_end_or_separate_nothing_are_no_matter(either, a, query):
    assert len(await either.reader(a.id).fetch_all(query, {"other": "x"})) == 1


async def test_what_cannot_be_sent_is_refused_alike_in_both_forms(either):
    with pytest.raises(StatementRefused, match="'nothing' is not given"):
        await either.system("select %(nothing)s::text")
    with pytest.raises(InvalidValue):
        await health.history(either, component="\ud800")
    with pytest.raises(InvalidValue):
        await health.history(either, component="nul \0")
    with pytest.raises(StatementFailed):
        await either.system("select %(thing)s::text", {"thing": object()})

    assert await either.system("select 1 as one") == [{"one": 1}]


async def test_a_statement_of_no_tenant_writes_only_when_it_says_so(either):
    write = "insert into service.system_health (id, component, status) values (gen_random_uuid(), 'x', 'ok')"
    with pytest.raises(ReadOnlySession):
        await either.system(write)
    await either.system(write, write=True)

    assert [one.component for one in await health.latest(either)] == ["x"]


async def test_a_comment_at_a_statements_end_swallows_nothing_that_follows(either, a):
    run = await new_run(either, a)
    async with either.tenant(a.id) as session:
        await session.execute("select %(tenant)s::uuid -- the last word")
        await agent_runs.cancel_run(session, run_id=run.id)

    assert (await agent_runs.get_run(either.reader(a.id), run.id)).status == "cancelled"


async def test_copy_is_an_error_that_ends_and_the_next_call_works(either):
    for query in ("copy (select 1) to stdout", "copy service.system_health (component) from stdin"):
        for _ in range(3):
            with pytest.raises(StatementFailed):
                await either.system(query, write=True)
        assert await either.system("select 1 as one") == [{"one": 1}]
