"""Calls of the database's functions as a project answers them that is not itself."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from pydantic import TypeAdapter

from sba_supabase import Guards, Pool, RemoteUnavailable, ResultInvalid, create_server_client
from sba_supabase.errors import AnswerTooLarge, RemoteError, RemoteInvalid
from sba_supabase.rpc import call, rpc
from sba_supabase.transport import Limits
from sba_supabase.types import schema
from tests.unit.supabase.project import Project

PATH = "/rest/v1/rpc/sum"


class SumArguments(schema.Write):
    a: int
    b: int | None = schema.OMITTED


SUM = schema.Rpc("sum", SumArguments, TypeAdapter(int))


@pytest.fixture
async def project() -> AsyncIterator[Project]:
    async with Project().running() as running:
        yield running


@pytest.fixture
async def client(project):
    async with Pool(Limits(largest=1000)) as pool:
        yield await create_server_client(project, pool=pool, bearer="a.b.c")


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (502, b"<html>", RemoteUnavailable),
        (302, b"", RemoteUnavailable),
        (400, b"[]", RemoteInvalid),
        (400, b'{"code": 7}', RemoteInvalid),
    ],
)
async def test_an_answer_that_is_not_the_projects_has_the_name_of_its_status(
    status: int, body: bytes, error: type[RemoteError], project, client
):
    project.routes[PATH] = lambda _: (status, body)
    with pytest.raises(error) as refused:
        await rpc(client, "sum", returns=int, guards=Guards())
    assert (refused.value.status, refused.value.reason) == (status, str(status))


async def test_generated_arguments_send_what_is_set(project, client):
    project.routes[PATH] = lambda asked: (200, asked.body["a"])
    assert await call(client, SUM, SumArguments(a=3), guards=Guards()) == 3
    assert project.asked[-1].body == {"a": 3}


async def test_a_result_that_the_types_do_not_know_says_so(project, client):
    project.routes[PATH] = lambda _: (200, {"a": 1})
    with pytest.raises(ResultInvalid):
        await call(client, SUM, SumArguments(a=3), guards=Guards())


async def test_an_answer_without_end_is_not_asked_for_again(project, client):
    project.routes[PATH] = lambda _: (200, b"1" * 1001)
    with pytest.raises(AnswerTooLarge):
        await call(client, SUM, SumArguments(a=3), guards=Guards(), idempotent=True)
    assert len(project.to(PATH)) == 1


async def test_a_name_that_leads_elsewhere_is_refused_before_anything_is_sent(project, client):
    for name in ("../../auth/v1/admin", "a/b", "a?b", "", "..", "a b"):
        with pytest.raises(ValueError, match="an operation is named"):
            await rpc(client, name, returns=int, guards=Guards())
    assert project.asked == []
