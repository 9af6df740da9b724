from __future__ import annotations

import psycopg
import pytest
from psycopg import sql

from sba_db import new_id
from sba_knowledge import Document, documents, ingest, search

MINE = Document("Aurora plan", "The aurora launch code word is marzipan.", {"owner": "acme"})


@pytest.fixture
async def mine(database, tenants):
    async with database.tenant(tenants[0].id) as session:
        return await ingest.add(session, MINE, created_by=tenants[0].user)


async def test_another_tenant_finds_nothing(database, tenants, mine):
    assert len(await search.query(database.reader(tenants[1].id), "aurora marzipan launch")) == 0
    assert len(await search.query(database.reader(tenants[0].id), "aurora marzipan launch")) == 1


async def test_another_tenant_cannot_read_list_or_delete_by_a_guessed_id(database, tenants, mine):
    other = database.reader(tenants[1].id)
    assert await documents.get(other, mine.id) is None
    assert (await documents.list(other)).items == ()
    async with database.tenant(tenants[1].id) as session:
        assert await documents.delete(session, mine.id) is False
    assert await documents.get(database.reader(tenants[0].id), mine.id) is not None


async def test_another_tenants_words_do_not_change_a_score(database, tenants, mine):
    reader = database.reader(tenants[0].id)
    before = (await search.query(reader, "aurora marzipan"))[0].score
    async with database.tenant(tenants[1].id) as session:
        for place in range(5):
            await ingest.add(session, Document(f"Copy {place}", MINE.content))
    assert (await search.query(reader, "aurora marzipan"))[0].score == before


def as_tenant(url: str, tenant: object) -> psycopg.Connection:
    connection = psycopg.connect(url, autocommit=True)
    connection.execute("select set_config('app.tenant_id', %s, false)", (str(tenant),))
    return connection


@pytest.mark.parametrize("table", ["documents", "chunks"])
async def test_row_level_security_alone_hides_other_tenants(database_urls, tenants, mine, table):
    count = sql.SQL("select count(*) from public.{}").format(sql.Identifier(table))
    with as_tenant(database_urls.app, tenants[0].id) as mine_only:
        assert mine_only.execute(count).fetchone() == (1,)
    with as_tenant(database_urls.app, tenants[1].id) as other:
        assert other.execute(count).fetchone() == (0,)
        gone = other.execute(sql.SQL("delete from public.{}").format(sql.Identifier(table)))
        assert gone.rowcount == 0


@pytest.mark.parametrize("table", ["documents", "chunks"])
async def test_without_a_tenant_nothing_is_seen(database_urls, mine, table):
    with psycopg.connect(database_urls.app) as nobody:
        count = sql.SQL("select count(*) from public.{}").format(sql.Identifier(table))
        assert nobody.execute(count).fetchone() == (0,)


async def test_the_owner_of_the_tables_is_bound_as_well(database_urls, mine):
    with psycopg.connect(database_urls.migrator) as owner:
        owner.execute("set role sba_owner")
        assert owner.execute("select count(*) from public.chunks").fetchone() == (0,)


async def test_a_row_cannot_be_written_for_another_tenant(database_urls, tenants):
    insert = (
        "insert into public.documents (tenant_id, id, title, content, chunk_count)"
        " values (%s, %s, 'Planted', 'Planted', 1)"
    )
    with (
        as_tenant(database_urls.app, tenants[1].id) as other,
        pytest.raises(psycopg.errors.InsufficientPrivilege, match="row-level security"),
    ):
        other.execute(insert, (tenants[0].id, new_id()))


async def test_a_passage_cannot_be_hung_on_another_tenants_document(database_urls, tenants, mine):
    insert = (
        "insert into public.chunks (tenant_id, id, document_id, position, title, content)"
        " values (%s, %s, %s, 9, 'Planted', 'Planted')"
    )
    with (
        as_tenant(database_urls.app, tenants[1].id) as other,
        pytest.raises(psycopg.errors.ForeignKeyViolation),
    ):
        other.execute(insert, (tenants[1].id, new_id(), mine.id))


@pytest.mark.parametrize("statement", ["update public.chunks set content = 'x'", "truncate public.chunks"])
async def test_the_app_has_no_more_rights_than_it_needs(database_urls, tenants, mine, statement):
    with (
        as_tenant(database_urls.app, tenants[0].id) as app,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        app.execute(statement)


def ask_as_signed_in(url: str, user: object, tenant: object, question: str) -> int:
    with psycopg.connect(url) as connection:
        claims = f'{{"sub": "{user}", "app_metadata": {{"tenant_id": "{tenant}"}}}}'
        connection.execute("select set_config('request.jwt.claims', %s, true)", (claims,))
        connection.execute("set local role authenticated")
        found = connection.execute(question).fetchone()
        assert found is not None
        return int(found[0])


@pytest.mark.parametrize("table", ["documents", "chunks"])
async def test_a_signed_in_member_reads_only_their_tenant(database_urls, tenants, mine, table):
    member, stranger = tenants[0].user, tenants[1].user
    count = f"select count(*) from public.{table}"
    assert ask_as_signed_in(database_urls.admin, member, tenants[0].id, count) == 1
    assert ask_as_signed_in(database_urls.admin, stranger, tenants[0].id, count) == 0
    assert ask_as_signed_in(database_urls.admin, stranger, tenants[1].id, count) == 0


async def test_a_signed_in_member_cannot_write(database_urls, tenants, mine):
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        ask_as_signed_in(
            database_urls.admin, tenants[0].user, tenants[0].id, "delete from public.documents returning 1"
        )
