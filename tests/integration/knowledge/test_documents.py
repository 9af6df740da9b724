from __future__ import annotations

import contextlib
import random

import psycopg
import pytest

from sba_db import ConstraintViolated, InvalidCursor, MembershipDenied, new_id
from sba_knowledge import Document, InvalidField, documents, ingest, search
from sba_knowledge.chunking import LIMIT


async def test_a_document_comes_back_as_it_was_given(database, tenants):
    given = Document("Título ☕", "Baris satu.\r\n\r\nBaris dua 😀.", {"tags": ["a", {"b": None}], "n": 1.5})
    async with database.tenant(tenants[0].id) as session:
        stored = await ingest.add(session, given, created_by=tenants[0].user)
    found = await documents.get(database.reader(tenants[0].id), stored.id)
    assert found is not None
    assert (found.title, found.content, found.metadata) == (given.title, given.content, given.metadata)
    assert (found.created_by, found.chunk_count) == (tenants[0].user, 1)
    assert found.created_at == stored.created_at
    assert found.created_at.tzinfo is not None


async def test_a_document_without_author_or_metadata_is_fine(database, tenants):
    async with database.tenant(tenants[0].id) as session:
        stored = await ingest.add(session, Document("Bare", "Text."))
    assert (stored.created_by, stored.metadata) == (None, {})


async def test_which_documents_exist_is_told_for_the_own_tenant_alone(database, tenants):
    stored = []
    for tenant in tenants:
        async with database.tenant(tenant.id) as session:
            stored.append((await ingest.add(session, Document("A", "Text."))).id)
    asked = {*stored, new_id()}
    reader = database.reader(tenants[0].id)
    assert await documents.existing(reader, asked) == {stored[0]}
    assert await documents.existing(reader, []) == set()
    async with database.tenant(tenants[0].id) as session:
        await documents.delete(session, stored[0])
        assert await documents.existing(session, asked) == set()


async def test_asking_which_documents_exist_proves_the_membership_even_for_none(database, tenants):
    with pytest.raises(MembershipDenied):
        await documents.existing(database.reader(tenants[0].id, member=tenants[1].user), [])


async def test_nothing_is_stored_when_the_transaction_does_not_commit(database, tenants):
    with contextlib.suppress(ZeroDivisionError):
        async with database.tenant(tenants[0].id) as session:
            await ingest.add(session, Document("Lost", "Zeppelin."))
            raise ZeroDivisionError
    assert (await documents.list(database.reader(tenants[0].id))).items == ()
    assert len(await search.query(database.reader(tenants[0].id), "zeppelin")) == 0


async def test_a_document_of_an_unknown_tenant_is_refused(database):
    async def store() -> None:
        async with database.tenant(new_id()) as session:
            await ingest.add(session, Document("Stray", "Text."))

    with pytest.raises(ConstraintViolated, match="documents_tenant_id_fkey"):
        await store()


async def test_pages_run_from_new_to_old_without_gap_or_repeat(database, tenants):
    titles = [f"Number {place}" for place in range(7)]
    async with database.tenant(tenants[0].id) as session:
        for title in titles:
            await ingest.add(session, Document(title, "Text."))
    reader, seen, cursor = database.reader(tenants[0].id), [], None
    while True:
        page = await documents.list(reader, limit=3, cursor=cursor)
        assert len(page.items) <= 3
        seen += [item.title for item in page.items]
        cursor = page.next_cursor
        if cursor is None:
            break
    assert seen == titles[::-1]


async def test_a_full_last_page_has_no_next(database, tenants):
    async with database.tenant(tenants[0].id) as session:
        for place in range(2):
            await ingest.add(session, Document(f"Number {place}", "Text."))
    assert (await documents.list(database.reader(tenants[0].id), limit=2)).next_cursor is None


@pytest.mark.parametrize("cursor", ["", "x", "AAAA", "ev" * 20, "\0", "é"])
async def test_a_cursor_of_elsewhere_is_refused(database, tenants, cursor):
    with pytest.raises(InvalidCursor):
        await documents.list(database.reader(tenants[0].id), cursor=cursor)


@pytest.mark.parametrize("limit", [0, -1, 201])
async def test_a_page_size_out_of_bounds_is_refused_by_name(database, tenants, limit):
    with pytest.raises(InvalidField) as refused:
        await documents.list(database.reader(tenants[0].id), limit=limit)
    assert refused.value.field == "limit"


async def test_deleting_takes_the_passages_along(database, database_urls, tenants):
    async with database.tenant(tenants[0].id) as session:
        stored = await ingest.add(session, Document("Gone", "Zeppelin.\n\n" + "Filler sentence. " * 200))
        assert await documents.delete(session, stored.id) is True
        assert await documents.delete(session, stored.id) is False
    with psycopg.connect(database_urls.admin) as admin:
        assert admin.execute("select count(*) from public.chunks").fetchone() == (0,)


async def test_an_unknown_id_is_no_document(database, tenants):
    assert await documents.get(database.reader(tenants[0].id), new_id()) is None


def largest() -> str:
    """One mebibyte of sentences, with one word that is nowhere else near the end."""
    chance = random.Random(7)
    vocabulary = [
        f"{first}{second}" for first in ("bar", "kol", "ten", "mur") for second in ("an", "is", "ok")
    ]
    sentences = (" ".join(chance.choices(vocabulary, k=12)).capitalize() + "." for _ in range(30_000))
    return " ".join(sentences)[: 1024 * 1024 - 40] + " The zeppelin waits here."


async def test_a_document_of_a_mebibyte_is_stored_whole_and_found(database, database_urls, tenants):
    content = largest()
    async with database.tenant(tenants[0].id) as session:
        stored = await ingest.add(session, Document("Large", content))
    reader = database.reader(tenants[0].id)
    found = await documents.get(reader, stored.id)
    assert found is not None
    assert found.content == content
    hits = await search.query(reader, "Where does the zeppelin wait?", limit=1)
    assert "zeppelin" in hits[0].passage
    with psycopg.connect(database_urls.admin) as admin:
        rows = admin.execute(
            "select position, char_length(content) from public.chunks order by position"
        ).fetchall()
    assert [place for place, _ in rows] == list(range(stored.chunk_count))
    assert max(length for _, length in rows) <= LIMIT


async def test_one_statement_stores_a_document_with_many_passages(database, tenants):
    async with database.tenant(tenants[0].id) as session:
        counted = Counting(session)
        stored = await ingest.add(counted, Document("Long", "A sentence of some length stands here. " * 500))
        assert stored.chunk_count > 10
        assert counted.calls == 1


class Counting:
    """Passes statements on and counts them."""

    def __init__(self, session: object) -> None:
        self._session = session
        self.calls = 0

    async def fetch_one(self, query, params=None):
        self.calls += 1
        return await self._session.fetch_one(query, params)
