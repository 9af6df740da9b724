"""The database's functions through their guards, against a real server and a real database."""

from __future__ import annotations

import uuid

import pytest
from pydantic import BaseModel

from sba_resilience.canary import Canary, MemoryStore, RedisStore, Status
from sba_resilience.redis import RedisSettings, open_redis
from sba_supabase import EdgeFunction, Rpc, Versions
from sba_supabase.errors import (
    RemoteInvalid,
    RemoteMissing,
    RemoteRefused,
    RemoteUnavailable,
    ResultInvalid,
    TenantUnset,
)
from sba_supabase.rpc import call, rpc
from sba_supabase.types.database import RPC_SET_TENANT_CONTEXT, SetTenantContextArguments
from tests.integration.supabase.calls.test_functions import Counting

FUNCTIONS = """
create function public.mine() returns table (id uuid, slug text) language sql stable as
    $$ select id, slug from public.tenants $$;
create function public.sum_of(a integer, b integer) returns integer language sql immutable as
    $$ select a + b $$;
create function public.nothing() returns void language sql as $$ $$;
create function public.refuse(code text) returns integer language plpgsql as
    $$ begin raise exception 'private words' using errcode = code; end $$;
grant execute on all functions in schema public to authenticated;
"""


class Mine(BaseModel):
    id: uuid.UUID
    slug: str


@pytest.fixture(autouse=True)
async def functions(project):
    await project.run(FUNCTIONS)


async def test_rows_are_models_and_only_those_of_the_clients_tenant(enter, guards):
    client, _ = await enter(), await enter()
    (mine,) = await rpc(client, "mine", returns=list[Mine], guards=guards)
    assert mine.id == client.tenant_id


async def test_arguments_go_by_name_and_scalars_come_back(enter, guards):
    total = Rpc("sum_of", returns=int, guards=guards, idempotent=True)
    assert await total(await enter(), {"a": 2, "b": 40}) == 42


async def test_a_generated_function_gives_what_its_types_say(enter, guards):
    client = await enter("admin")
    mine = SetTenantContextArguments(tenant_id=client.tenant_id)
    assert await call(client, RPC_SET_TENANT_CONTEXT, mine, guards=guards) == "admin"
    with pytest.raises(RemoteRefused):
        await call(client, RPC_SET_TENANT_CONTEXT, SetTenantContextArguments(tenant_id=None), guards=guards)


async def test_nothing_is_none(enter, guards):
    assert await rpc(await enter(), "nothing", returns=type(None), guards=guards) is None


async def test_a_result_of_another_shape_is_refused(enter, guards):
    with pytest.raises(ResultInvalid):
        await rpc(await enter(), "sum_of", {"a": 1, "b": 2}, returns=Mine, guards=guards)


@pytest.mark.parametrize(
    ("code", "error"), [("42501", RemoteRefused), ("P0001", RemoteInvalid), ("53300", RemoteUnavailable)]
)
async def test_what_the_database_raises_has_a_name_and_its_words_are_in_no_message(
    enter, guards, code, error
):
    with pytest.raises(error) as caught:
        await rpc(await enter(), "refuse", {"code": code}, returns=int, guards=guards)
    assert (caught.value.reason, caught.value.detail) == (code, "private words")
    assert "private" not in str(caught.value)


async def test_a_function_that_is_not_there_is_missing(enter, guards):
    with pytest.raises(RemoteMissing) as caught:
        await rpc(await enter(), "nowhere", returns=int, guards=guards)
    assert caught.value.reason == "PGRST202"


async def test_a_revoked_membership_ends_with_the_next_call(project, enter, guards):
    client = await enter()
    await project.run("update public.memberships set revoked_at = now()")
    assert await rpc(client, "mine", returns=list[Mine], guards=guards) == []


async def test_a_project_that_does_not_answer_is_unavailable(enter, guards, unplugged):
    client = await enter()
    await unplugged()
    with pytest.raises(RemoteUnavailable):
        await rpc(client, "nothing", returns=type(None), guards=guards, idempotent=True)


def two(guards, canary):
    return Versions(
        canary,
        stable=EdgeFunction("old", returns=int, guards=guards),
        candidate=EdgeFunction("new", returns=int, guards=guards),
    )


async def test_a_tenant_stays_on_its_version_and_a_promotion_gives_it_to_everybody(
    project, enter, guards, redis_url
):
    project.functions.update(old=Counting(1), new=Counting(2))
    clients = [await enter() for _ in range(6)]
    async with open_redis(RedisSettings(redis_url)) as redis:
        canary = Canary("functions.answer", RedisStore(redis), wall=project.clock)
        answer = two(guards, canary)
        assert {await answer(client) for client in clients} == {1}
        await canary.set_share(0.5, by="ana", reason="try it")
        first = [await answer(client) for client in clients]
        assert [await answer(client) for client in clients] == first
        assert first == [2 if canary.choose(client.tenant_id) == "candidate" else 1 for client in clients]
        await canary.promote(by="ana")
        assert {await answer(client) for client in clients} == {2}
        assert [decision.kind for decision in await canary.decisions()] == ["promoted", "started"]
        await canary.aclose()


async def test_a_version_that_answers_nonsense_is_taken_back_by_itself(project, enter, guards, redis_url):
    project.functions.update(old=Counting(1), new=Counting({"not": "a number"}))
    client = await enter()
    async with open_redis(RedisSettings(redis_url)) as redis:
        canary = Canary("functions.nonsense", RedisStore(redis), wall=project.clock, sync_every=1000.0)
        answer = two(guards, canary)
        await canary.set_share(1.0, by="ana")
        stable = canary.choose(client.tenant_id).__class__("stable")
        for _ in range(300):
            canary.record(stable, ok=True, seconds=0.01)
        for _ in range(9):
            with pytest.raises(ResultInvalid):
                await answer(client)
        for _ in range(291):
            canary.record(canary.choose(client.tenant_id), ok=False, seconds=0.01)
        assert await canary.sync()
        assert canary.phase.status is Status.ROLLED_BACK
        assert await answer(client) == 1
        newest, *_ = await canary.decisions()
        assert (newest.kind, newest.by) == ("rolled_back", "canary")
        await canary.aclose()


async def test_a_client_without_a_tenant_has_no_version(project, guards, nobody):
    with pytest.raises(TenantUnset):
        await two(guards, Canary("x", MemoryStore(), wall=project.clock))(nobody)
