"""Typed reads and writes of odd tables, over PostgREST and back, digit for digit."""

from __future__ import annotations

import sys
import uuid
from decimal import Decimal
from types import ModuleType
from typing import Any

import pytest

from sba_supabase import mutations, queries
from sba_supabase.types.writing import types_of

TABLE = """
create type public."Mood" as enum ('good', 'so so');
create table public.odd_things (
    tenant_id uuid not null, id int not null, "a b" text, "class" text not null, "größe" int,
    "Mood" public."Mood" not null default 'good', total numeric, totals numeric[], primary key (tenant_id, id)
);
alter table public.odd_things enable row level security;
create policy mine on public.odd_things to authenticated
    using (tenant_id = (select app.current_tenant())) with check (tenant_id = (select app.current_tenant()));
grant select, insert, update, delete on public.odd_things to authenticated;
create function public.halves(a int, inout b numeric, out c text) language sql stable as
    $$ select b / 2, 'x' $$;
create function public.one(out only_one int) language sql stable as $$ select 1 $$;
grant execute on all functions in schema public to authenticated;
"""
EXACT = Decimal("12345678901234567890.123456789")


@pytest.fixture
async def made(project) -> Any:
    await project.run(TABLE)
    module = ModuleType(f"generated_{uuid.uuid4().hex}")
    sys.modules[module.__name__] = module
    exec(compile(await types_of(project.admin_url), "database.py", "exec"), module.__dict__)  # noqa: S102 - it must run
    return module


async def test_what_is_written_is_read_again(made, enter):
    client = await enter()
    new = made.OddThingsInsert(
        tenant_id=client.tenant_id, id=1, a_b='a",b)', class_="c", größe=7, total=EXACT, Mood_="so so"
    )
    (written,) = await mutations.insert(client, made.ODD_THINGS, [new])
    mine = {"tenant_id": client.tenant_id}
    found = await queries.find(client, made.ODD_THINGS, {**mine, "a b": ['a",b)', "other"], "class": "c"})
    assert found == written
    assert (found.total, found.größe, found.a_b, found.Mood_) == (EXACT, 7, 'a",b)', made.Mood.SO_SO)
    changes = made.OddThingsUpdate(total=Decimal("NaN"), totals=[EXACT])
    (changed,) = await mutations.update(client, made.ODD_THINGS, changes, {**mine, "größe": 7})
    assert changed.total.is_nan()
    (row,) = await queries.fetch(client, made.ODD_THINGS, mine, order=["-a b", "größe"])
    assert row.id == 1
    assert await queries.count(client, made.ODD_THINGS, mine) == 1


async def test_arguments_that_go_out_are_the_members_of_an_object(made, enter):
    client = await enter()
    answer = await client.rpc("halves", made.HalvesArguments(a=1, b=Decimal(3)).values_set()).execute()
    result = made.RPC_HALVES.result.validate_python(answer.data)
    assert (result.b, result.c) == (Decimal("1.5"), "x")
    only = made.RPC_ONE.result.validate_python((await client.rpc("one", {}).execute()).data)
    assert only.only_one == 1
