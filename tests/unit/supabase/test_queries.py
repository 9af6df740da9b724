"""Queries and mutations say to PostgREST what they mean, and refuse what they must not say."""

from __future__ import annotations

import json
import uuid
from collections.abc import AsyncIterator

import httpx
import pytest
from postgrest import AsyncPostgrestClient

from sba_supabase import mutations, queries
from sba_supabase.types.database import (
    DOCUMENTS,
    MEMBERSHIPS,
    TENANTS,
    DocumentsInsert,
    DocumentsUpdate,
    MembershipsUpdate,
    TenantsInsert,
    TenantsUpdate,
)

TENANT = uuid.UUID("5f3c1d88-2b7a-4e0f-8c59-7a1e6d4b3c02")
ROW = {
    "tenant_id": str(TENANT),
    "user_id": str(uuid.UUID(int=7)),
    "role": "member",
    "created_at": "2026-11-23T09:00:00+00:00",
    "revoked_at": None,
    "newer_column": 1,
}


class Wire:
    """What was sent, and what to answer."""

    def __init__(self) -> None:
        self.requests: list[httpx.Request] = []
        self.answer: object = []
        self.headers: dict[str, str] = {}

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        return httpx.Response(200, json=self.answer, headers=self.headers)

    @property
    def sent(self) -> dict[str, str]:
        return dict(self.requests[-1].url.params)

    @property
    def body(self) -> object:
        return json.loads(self.requests[-1].content)


@pytest.fixture
def wire() -> Wire:
    return Wire()


@pytest.fixture
async def client(wire: Wire) -> AsyncIterator[AsyncPostgrestClient]:
    async with httpx.AsyncClient(transport=httpx.MockTransport(wire), base_url="http://rest.test") as http:
        yield AsyncPostgrestClient("http://rest.test", http_client=http)


async def test_a_fetch_names_its_columns_filters_and_order(client: AsyncPostgrestClient, wire: Wire):
    wire.answer = [ROW]
    (row,) = await queries.fetch(
        client,
        MEMBERSHIPS,
        {"tenant_id": TENANT, "role": ("owner", "admin"), "revoked_at": None},
        order=["-created_at"],
        limit=5,
        offset=10,
    )
    assert (row.tenant_id, row.revoked_at) == (TENANT, None)
    assert wire.sent == {
        "select": "tenant_id,user_id,role,created_at,revoked_at",
        "tenant_id": f"eq.{TENANT}",
        "role": 'in.("admin","owner")',
        "revoked_at": "is.null",
        "order": "created_at.desc,tenant_id.asc,user_id.asc",
        "limit": "5",
        "offset": "10",
    }


async def test_any_of_several_values_is_each_of_them_as_it_is(client: AsyncPostgrestClient, wire: Wire):
    await queries.fetch(client, TENANTS, {"slug": ['a",b', "null", "", "c\\"]})
    assert wire.sent["slug"] == 'in.("","a\\",b","c\\\\","null")'
    with pytest.raises(ValueError, match="null"):
        await queries.fetch(client, TENANTS, {"slug": ["a", None]})


async def test_find_answers_one_row_or_none(client: AsyncPostgrestClient, wire: Wire):
    where = {"tenant_id": TENANT, "user_id": uuid.UUID(int=7)}
    assert await queries.find(client, MEMBERSHIPS, where) is None
    assert wire.sent["limit"] == "1"
    wire.answer = [ROW]
    found = await queries.find(client, MEMBERSHIPS, where)
    assert found is not None
    assert found.role == "member"


async def test_count_asks_for_no_rows(client: AsyncPostgrestClient, wire: Wire):
    wire.headers = {"content-range": "*/42"}
    assert await queries.count(client, MEMBERSHIPS, {"tenant_id": TENANT}) == 42
    assert wire.requests[-1].method == "HEAD"
    assert "count=exact" in wire.requests[-1].headers["prefer"]


async def test_values_that_mean_something_to_a_filter_stay_values(client: AsyncPostgrestClient, wire: Wire):
    hostile = "x),or=(id.gt.0&select=*"
    await queries.fetch(client, TENANTS, {"slug": hostile, "name": ["a,b", 'c"d']})
    assert wire.sent["slug"] == f"eq.{hostile}"
    assert wire.sent["name"] == 'in.("a,b","c\\"d")'


async def test_an_insert_sends_only_what_was_set(client: AsyncPostgrestClient, wire: Wire):
    wire.answer = [{"id": str(TENANT), "slug": "acme", "name": "Acme", "created_at": ROW["created_at"]}]
    (row,) = await mutations.insert(client, TENANTS, [TenantsInsert(slug="acme", name="Acme")])
    assert row.id == TENANT
    assert wire.body == [{"slug": "acme", "name": "Acme"}]
    prefer = wire.requests[-1].headers["prefer"]
    assert "missing=default" in prefer
    assert "return=representation" in prefer


async def test_an_upsert_conflicts_on_the_primary_key_unless_told_otherwise(
    client: AsyncPostgrestClient, wire: Wire
):
    document = DocumentsInsert(
        tenant_id=TENANT, id=uuid.UUID(int=1), title="t", content="c", chunk_count=1, metadata={"a": [1]}
    )
    await mutations.upsert(client, DOCUMENTS, [document])
    assert wire.sent["on_conflict"] == "tenant_id,id"
    assert "resolution=merge-duplicates" in wire.requests[-1].headers["prefer"]
    await mutations.upsert(client, TENANTS, [TenantsInsert(slug="a", name="A")], on_conflict=["slug"])
    assert wire.sent["on_conflict"] == "slug"


async def test_nothing_to_write_asks_nothing(client: AsyncPostgrestClient, wire: Wire):
    assert await mutations.insert(client, TENANTS, []) == []
    assert await mutations.upsert(client, TENANTS, []) == []
    assert wire.requests == []


async def test_an_update_changes_what_is_set_where_it_is_told(client: AsyncPostgrestClient, wire: Wire):
    wire.answer = [ROW]
    changes = MembershipsUpdate(role="admin", revoked_at=None)
    (row,) = await mutations.update(client, MEMBERSHIPS, changes, {"tenant_id": TENANT})
    assert row.role == "member"
    assert (wire.requests[-1].method, wire.body) == ("PATCH", {"role": "admin", "revoked_at": None})
    assert wire.sent["tenant_id"] == f"eq.{TENANT}"


async def test_a_delete_answers_what_it_removed(client: AsyncPostgrestClient, wire: Wire):
    wire.answer = [ROW]
    (row,) = await mutations.delete(client, MEMBERSHIPS, {"tenant_id": TENANT, "role": "viewer"})
    assert row.user_id == uuid.UUID(int=7)
    assert wire.requests[-1].method == "DELETE"


@pytest.mark.parametrize(
    ("where", "reason"),
    [
        ({}, "must name the tenant_id"),
        ({"id": 1}, "must name the tenant_id"),
        ({"tenant_id": None}, "must name the tenant_id"),
        ({"tenant_id": TENANT, "or": "(x.eq.1)"}, "has no column or"),
        ({"tenant_id": TENANT, "title&select": "x"}, "has no column"),
    ],
)
async def test_a_filter_without_tenant_or_with_other_columns_is_never_sent(
    client: AsyncPostgrestClient, wire: Wire, where: dict[str, object], reason: str
):
    with pytest.raises(ValueError, match=reason):
        await queries.fetch(client, DOCUMENTS, where)
    with pytest.raises(ValueError, match=reason):
        await queries.count(client, DOCUMENTS, where)
    with pytest.raises(ValueError, match=f"{reason}|filter is empty"):
        await mutations.update(client, DOCUMENTS, DocumentsUpdate(title="x"), where)
    with pytest.raises(ValueError, match=f"{reason}|filter is empty"):
        await mutations.delete(client, DOCUMENTS, where)
    assert wire.requests == []


async def test_writes_to_everything_and_of_nothing_are_refused(client: AsyncPostgrestClient, wire: Wire):
    with pytest.raises(ValueError, match="filter is empty"):
        await mutations.delete(client, TENANTS, {})
    with pytest.raises(ValueError, match="nothing is changed"):
        await mutations.update(client, TENANTS, TenantsUpdate(), {"slug": "acme"})
    with pytest.raises(ValueError, match="has no column nope"):
        await queries.fetch(client, TENANTS, {}, order=["-nope"])
    assert wire.requests == []


def test_a_filter_on_true_is_written_as_postgres_does():
    assert queries._text(value=True) == "true"
