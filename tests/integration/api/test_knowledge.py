"""Documents and search over HTTP."""

import asyncio
import uuid

import pytest

from sba_cache import Cache
from sba_knowledge import documents

ENGLISH = {
    "title": "Refunds",
    "content": "Refunds are paid within fourteen days of the request.",
    "metadata": {"lang": "en"},
}
INDONESIAN = {"title": "Cuti", "content": "Karyawan tetap mendapat cuti tahunan dua belas hari kerja."}


async def add(api, headers, document):
    answer = await api.post("/v1/knowledge/documents", json=document, headers=headers)
    assert answer.status_code == 201, answer.text
    return answer


async def find(api, headers, query, **more):
    answer = await api.post("/v1/knowledge/search", json={"query": query, **more}, headers=headers)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_a_document_is_stored_read_listed_and_deleted(api, acme):
    added = await add(api, acme, ENGLISH)
    place = added.headers["location"]
    assert place == f"/v1/knowledge/documents/{added.json()['id']}"
    assert added.json()["chunk_count"] == 1
    read = (await api.get(place, headers=acme)).json()
    assert read["content"] == ENGLISH["content"]
    assert read["metadata"] == {"lang": "en"}
    listed = (await api.get("/v1/knowledge/documents", headers=acme)).json()
    assert listed["items"] == [added.json()]
    deleted = await api.delete(place, headers=acme)
    assert (deleted.status_code, deleted.content) == (204, b"")
    assert (await api.get(place, headers=acme)).status_code == 404
    assert (await api.delete(place, headers=acme)).status_code == 404
    actions = [entry["action"] for entry in (await api.get("/v1/audit", headers=acme)).json()["items"]]
    assert actions == ["document.delete", "document.create"]


async def test_documents_are_paged(api, acme):
    for n in range(3):
        await add(api, acme, {**ENGLISH, "title": f"Document {n}"})
    first = (await api.get("/v1/knowledge/documents", params={"limit": 2}, headers=acme)).json()
    params = {"limit": 2, "cursor": first["next_cursor"]}
    second = (await api.get("/v1/knowledge/documents", params=params, headers=acme)).json()
    titles = [item["title"] for item in first["items"] + second["items"]]
    assert titles == ["Document 2", "Document 1", "Document 0"]
    assert second["next_cursor"] is None


@pytest.mark.parametrize(
    ("document", "question"),
    [(ENGLISH, "When will my refund be paid?"), (INDONESIAN, "Berapa hari cuti tahunan karyawan?")],
)
async def test_a_question_finds_its_passage_in_both_languages(api, acme, document, question):
    await add(api, acme, ENGLISH)
    await add(api, acme, INDONESIAN)
    found = await find(api, acme, question)
    assert found["items"][0]["title"] == document["title"]
    assert found["items"][0]["passage"] in document["content"]


async def test_an_answer_says_in_which_mode_it_was_found_and_whether_that_was_asked_for(api, acme):
    await add(api, acme, ENGLISH)
    plain = await find(api, acme, "refunds", mode="text")
    assert (plain["mode"], plain["degraded"]) == ("text", False)
    asked = await find(api, acme, "refunds", mode="hybrid")
    assert asked["degraded"] is (asked["mode"] != "hybrid")


async def test_search_sees_an_added_and_misses_a_deleted_document_at_once(api, acme):
    assert (await find(api, acme, "refunds"))["items"] == []
    added = await add(api, acme, ENGLISH)
    assert len((await find(api, acme, "refunds"))["items"]) == 1
    await api.delete(added.headers["location"], headers=acme)
    assert (await find(api, acme, "refunds"))["items"] == []


async def remove_unnoticed(database, tenant, added):
    """Delete a document as a request does whose invalidation is lost: the remembered answers stay."""
    async with database.tenant(tenant.id, member=tenant.user) as session:
        assert await documents.delete(session, uuid.UUID(added.json()["id"]))


async def test_a_deleted_document_is_not_served_from_memory_even_when_its_invalidation_was_lost(
    api, acme, database, tenants
):
    kept = await add(api, acme, ENGLISH)
    gone = await add(api, acme, {**ENGLISH, "title": "Old refunds"})
    assert len((await find(api, acme, "refunds"))["items"]) == 2
    await remove_unnoticed(database, tenants[0], gone)
    for _ in range(3):
        found = await find(api, acme, "refunds")
        assert [item["document_id"] for item in found["items"]] == [kept.json()["id"]]


async def test_an_answer_found_stale_is_searched_once_and_then_remembered_again(
    api, acme, database, tenants, monkeypatch
):
    kept, gone = await add(api, acme, ENGLISH), await add(api, acme, ENGLISH)
    await find(api, acme, "refunds")
    await remove_unnoticed(database, tenants[0], gone)
    forgotten, forget = [], Cache.invalidate

    async def counted(cache, tenant_id, namespace):
        forgotten.append(namespace)
        await forget(cache, tenant_id, namespace)

    monkeypatch.setattr(Cache, "invalidate", counted)
    for _ in range(3):
        assert (await find(api, acme, "refunds"))["items"][0]["document_id"] == kept.json()["id"]
    assert forgotten == ["knowledge"]


@pytest.mark.parametrize("query", ["refunds", "nothing of the kind"])
async def test_a_remembered_answer_is_for_live_members_only(api, acme, issuer, tenants, query):
    await add(api, acme, ENGLISH)
    outsider = {"Authorization": f"Bearer {issuer.token(uuid.uuid4(), tenants[0].id)}"}
    body = {"query": query}
    for _ in range(2):
        await find(api, acme, query)
        answer = await api.post("/v1/knowledge/search", json=body, headers=outsider)
        assert answer.status_code == 403


async def test_an_outsider_who_asks_the_same_at_the_same_moment_spoils_no_answer(api, acme, issuer, tenants):
    await add(api, acme, ENGLISH)
    outsider = {"Authorization": f"Bearer {issuer.token(uuid.uuid4(), tenants[0].id)}"}
    for n in range(5):
        body = {"query": f"refunds {n}"}
        asking = [outsider, acme, outsider, acme]
        answers = await asyncio.gather(
            *(api.post("/v1/knowledge/search", json=body, headers=headers) for headers in asking)
        )
        assert [answer.status_code for answer in answers] == [403, 200, 403, 200]
        assert answers[1].json()["items"]


async def test_a_remembered_answer_never_reaches_another_tenant(api, acme, globex):
    await add(api, acme, ENGLISH)
    assert (await find(api, acme, "refunds"))["items"]
    assert (await find(api, acme, "refunds"))["items"]
    assert (await find(api, globex, "refunds"))["items"] == []


async def test_more_or_fewer_hits_are_different_questions(api, acme):
    for n in range(3):
        await add(api, acme, {**ENGLISH, "title": f"Refunds {n}"})
    assert len((await find(api, acme, "refunds", limit=1))["items"]) == 1
    assert len((await find(api, acme, "refunds", limit=3))["items"]) == 3


@pytest.mark.parametrize(
    ("document", "field"),
    [
        ({"content": "x"}, "title"),
        ({"title": "", "content": "x"}, "title"),
        ({"title": "x" * 301, "content": "x"}, "title"),
        ({"title": "x", "content": ""}, "content"),
        ({"title": "x", "content": "  \n "}, "content"),
        ({"title": "x", "content": "y" * (1_048_576 + 1)}, "content"),
        ({"title": "x", "content": "y", "metadata": []}, "metadata"),
        ({"title": "x", "content": "y", "metadata": {"a": "\0"}}, "metadata.a"),
        ({"title": "x", "content": "y", "id": "z"}, "id"),
    ],
)
async def test_a_wrong_document_is_refused_naming_the_field(api, acme, document, field):
    answer = await api.post("/v1/knowledge/documents", json=document, headers=acme)
    assert answer.status_code == 422, answer.text
    assert answer.json()["errors"][0]["field"] == field


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "query"),
        ({"query": ""}, "query"),
        ({"query": "x" * 2_001}, "query"),
        ({"query": "x", "limit": 0}, "limit"),
        ({"query": "x", "limit": 51}, "limit"),
        ({"query": "x", "limit": True}, "limit"),
        ({"query": "x", "mode": "magic"}, "mode"),
    ],
)
async def test_a_wrong_question_is_refused_naming_the_field(api, acme, body, field):
    answer = await api.post("/v1/knowledge/search", json=body, headers=acme)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == field
