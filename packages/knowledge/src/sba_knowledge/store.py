"""The knowledge tables: every statement that touches them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, LiteralString
from uuid import UUID

from sba_db import ReadSession, TenantSession, new_id
from sba_knowledge.document import Document, FullDocument, StoredDocument, metadata_json

Row = dict[str, Any]

ADD: Final[LiteralString] = """
with document as (
    insert into public.documents (tenant_id, id, title, content, metadata, created_by, chunk_count)
    values (
        %(tenant)s, %(id)s, %(title)s, %(content)s, %(metadata)s::jsonb, %(created_by)s,
        cardinality(%(passages)s::text[])
    )
    returning id, title, metadata, chunk_count, created_at, created_by
), passages as (
    insert into public.chunks (tenant_id, id, document_id, position, title, content)
    select %(tenant)s, passage.id, %(id)s, passage.position - 1, %(title)s, passage.content
    from unnest(%(passage_ids)s::uuid[], %(passages)s::text[])
        with ordinality as passage (id, content, position)
)
select * from document
"""

GET: Final[LiteralString] = """
select id, title, content, metadata, chunk_count, created_at, created_by
from public.documents
where tenant_id = %(tenant)s and id = %(id)s
"""

LIST: Final[LiteralString] = """
select id, title, metadata, chunk_count, created_at, created_by
from public.documents
where tenant_id = %(tenant)s and id < %(before)s
order by id desc
limit %(limit)s
"""

DELETE: Final[LiteralString] = "delete from public.documents where tenant_id = %(tenant)s and id = %(id)s"

# A word counts once, as its English or its Indonesian stem, whichever says more. What it says is how often
# the passage has it (ts_rank, length evened out) and a little for the title, which all passages of a document
# share, times how rare it is in the tenant's passages: without that, a question's commonest words decide.
SEARCH: Final[LiteralString] = r"""
with stem as materialized (
    select word.position as word, lexeme,
        ('''' || replace(replace(lexeme, '\', '\\'), '''', '''''') || '''')::tsquery as needle
    from unnest(%(words)s::text[]) with ordinality as word (text, position)
    cross join lateral unnest(tsvector_to_array(
        to_tsvector('pg_catalog.english', word.text) || to_tsvector('pg_catalog.indonesian', word.text)
    )) as lexeme
), needle as materialized (
    select distinct lexeme, needle from stem
), any_of as materialized (
    select string_agg(needle::text, ' | ')::tsquery as them from needle
), total as materialized (
    select count(*)::float8 as passages from public.chunks where tenant_id = %(tenant)s
), candidate as materialized (
    select chunks.id, chunks.search
    from public.chunks, any_of
    where chunks.tenant_id = %(tenant)s and chunks.search @@ any_of.them
), match as materialized (
    select candidate.id, needle.lexeme,
        ts_rank('{0.1, 0.1, 0.1, 0}', candidate.search, needle.needle, 1)::float8
            + 0.1 * ts_rank('{0, 0, 0, 0.1}', candidate.search, needle.needle) as strength
    from candidate, needle
    where candidate.search @@ needle.needle
), rarity as materialized (
    select lexeme, ln(1 + (passages - count(*) + 0.5) / (count(*) + 0.5)) as weight
    from match, total
    group by lexeme, passages
), said as (
    select match.id, stem.word, max(match.strength * rarity.weight) as score
    from match join rarity using (lexeme) join stem using (lexeme)
    group by match.id, stem.word
), best as (
    select id, sum(score) as score from said group by id order by score desc, id limit %(limit)s
)
select chunks.document_id, chunks.title, chunks.id as chunk_id, chunks.content as passage, best.score
from best join public.chunks on chunks.tenant_id = %(tenant)s and chunks.id = best.id
order by best.score desc, best.id
"""


async def add(
    session: TenantSession, document: Document, *, passages: Sequence[str], created_by: UUID | None
) -> StoredDocument:
    """Insert a document and its passages in one statement."""
    row = await session.fetch_one(
        ADD,
        {
            "id": new_id(),
            "title": document.title,
            "content": document.content,
            "metadata": metadata_json(document.metadata),
            "created_by": created_by,
            "passages": list(passages),
            "passage_ids": [new_id() for _ in passages],
        },
    )
    return StoredDocument(**_only(row))


async def get(reader: ReadSession, document_id: UUID) -> FullDocument | None:
    """Return one document of the tenant, or None."""
    row = await reader.fetch_one(GET, {"id": document_id})
    return None if row is None else FullDocument(**row)


async def newest(reader: ReadSession, *, before: UUID, limit: int) -> list[StoredDocument]:
    """Return up to `limit` documents with an id below `before`, newest first."""
    rows = await reader.fetch_all(LIST, {"before": before, "limit": limit})
    return [StoredDocument(**row) for row in rows]


async def delete(session: TenantSession, document_id: UUID) -> bool:
    """Delete one document of the tenant with its passages; False if there is none."""
    return await session.execute(DELETE, {"id": document_id}) > 0


async def search(reader: ReadSession, words: Sequence[str], *, limit: int) -> list[Row]:
    """Return the passages that say most about the words, best first."""
    return await reader.fetch_all(SEARCH, {"words": list(words), "limit": limit})


def _only(row: Row | None) -> Row:
    if row is None:
        raise AssertionError("an insert that returned no row")
    return row
