"""The unmodified `supabase` client for Python against the stand-in, over real HTTP."""

import pytest
from postgrest.exceptions import APIError
from postgrest.types import CountMethod, ReturnMethod
from supabase import acreate_client
from supabase.lib.client_options import AsyncClientOptions

from tests.integration.local.rest.world import USER_A, token

# The client warns about what it itself passes on.
pytestmark = pytest.mark.filterwarnings("ignore:The '.*' parameter is deprecated:DeprecationWarning")


@pytest.fixture
async def client(url):
    options = AsyncClientOptions(auto_refresh_token=False, persist_session=False)
    client = await acreate_client(url, "sb_secret_test", options)
    yield client
    await client.postgrest.aclose()


@pytest.fixture
async def user(url):
    options = AsyncClientOptions(
        auto_refresh_token=False,
        persist_session=False,
        headers={"Authorization": f"Bearer {token(USER_A)}"},
    )
    client = await acreate_client(url, "sb_publishable_test", options)
    yield client
    await client.postgrest.aclose()


async def ids(query):
    return [row["id"] for row in (await query.execute()).data]


async def test_filters(client):
    def films():
        return client.table("films").select("id").order("id")

    assert await ids(films().eq("year", 1894)) == [2]
    assert await ids(films().neq("year", 1894).gte("year", 1897)) == [3, 4]
    assert await ids(films().like("title", "The%")) == [2, 3]
    assert await ids(films().ilike_any_of("title", "the%,metro%")) == [2, 3, 4]
    assert await ids(films().is_("rating", None)) == [3]
    assert await ids(films().not_.is_("rating", None)) == [1, 2, 4]
    assert await ids(films().in_("title", ["Metropolis", 'a "quoted", name'])) == [4]
    assert await ids(films().contains("tags", ["short"])) == [1, 2]
    assert await ids(films().contains("tags", ["black, white"])) == [1]
    assert await ids(films().contains("data", {"kind": "horror"})) == [3]
    assert await ids(films().overlaps("tags", ["sound", "horror"])) == [2, 3]
    assert await ids(films().range_gt("shown", ("1895-12-29", "1896-01-01"))) == [3]
    assert await ids(films().or_("year.lt.1895,year.gt.1900")) == [2, 4]
    assert await ids(films().match({"year": 1894, "language": "english"})) == [2]
    search = films().text_search("title", "castles", options={"config": "english"})
    assert await ids(search) == [3]


async def test_pages_and_counts(client):
    answer = (
        await client.table("films").select("id", count=CountMethod.exact).order("id").range(1, 2).execute()
    )
    assert ([row["id"] for row in answer.data], answer.count) == ([2, 3], 4)
    answer = await client.table("films").select("*", count=CountMethod.exact, head=True).execute()
    assert answer.count == 4


async def test_single_rows(client):
    assert (await client.table("films").select("id").eq("id", 1).single().execute()).data == {"id": 1}
    assert await client.table("films").select("id").eq("id", 0).maybe_single().execute() is None
    with pytest.raises(APIError) as caught:
        await client.table("films").select("id").single().execute()
    assert (caught.value.code, caught.value.details) == ("PGRST116", "The result contains 4 rows")


async def test_csv(client):
    assert (await client.table("films").select("id").eq("id", 1).csv().execute()).data == "id\n1"


async def test_embedding(client):
    select = client.table("directors").select("last_name, films!inner(title)")
    answer = await select.eq("films.year", 1894).execute()
    assert answer.data == [
        {"last_name": "Dickson", "films": [{"title": "The Dickson Experimental Sound Film"}]}
    ]
    query = client.table("actors").select("id, films(id)").eq("id", 1)
    answer = (
        await query.order("id", desc=True, foreign_table="films").limit(1, foreign_table="films").execute()
    )
    assert answer.data == [{"id": 1, "films": [{"id": 4}]}]


async def test_writes(client):
    products = client.table("products")
    answer = await products.insert([{"sku": "a", "price": 1}, {"sku": "b", "name": "B"}]).execute()
    assert sorted(row["sku"] for row in answer.data) == ["a", "b"]
    answer = await products.insert({"sku": "c"}, returning=ReturnMethod.minimal).execute()
    assert answer.data == []
    answer = await products.upsert({"sku": "a", "price": 2}).execute()
    assert answer.data == [{"sku": "a", "name": None, "price": 2}]
    answer = await products.upsert({"sku": "a", "price": 3}, ignore_duplicates=True).execute()
    assert answer.data == []
    answer = await products.upsert({"sku": "b", "name": "B", "price": 7}, on_conflict="name").execute()
    assert answer.data[0]["price"] == 7
    answer = await products.update({"price": 9}, count=CountMethod.exact).in_("sku", ["a", "b"]).execute()
    assert ([row["price"] for row in answer.data], answer.count) == ([9, 9], 2)
    answer = await products.delete().eq("sku", "a").execute()
    assert [row["sku"] for row in answer.data] == ["a"]
    rows = [{"bar": "x"}, {"bar": "y", "baz": 1}]
    answer = await client.table("foo").insert(rows, default_to_null=False).execute()
    assert [row["baz"] for row in answer.data] == [100, 1]


async def test_the_most_rows(client):
    with pytest.raises(APIError) as caught:
        await client.table("products").delete().gt("price", 0).max_affected(1).execute()
    assert caught.value.code == "PGRST124"


async def test_calls(client):
    assert (await client.rpc("add_them", {"a": 1, "b": 2}).execute()).data == 3
    assert (await client.rpc("add_them", {"a": 1, "b": 2}, get=True).execute()).data == 3
    answer = await client.rpc("films_of", {"since": 1897}).select("id").execute()
    assert answer.data == [{"id": 3}, {"id": 4}]
    with pytest.raises(APIError) as caught:
        await client.rpc("just_fail").execute()
    assert (caught.value.code, caught.value.message) == ("P0001", "I refuse!")


async def test_row_level_security(user):
    assert [row["body"] for row in (await user.table("notes").select("body").execute()).data] == ["of a"]
    with pytest.raises(APIError) as caught:
        await user.table("hidden").select("*").execute()
    assert caught.value.code == "42501"
