from __future__ import annotations

from sba_db import DatabaseSettings, open_database
from sba_knowledge import Document, documents, ingest, search


async def test_everything_works_in_the_form_that_passes_a_transaction_pooler(database_urls, tenants):
    async with open_database(DatabaseSettings(url=database_urls.app, pooler=True)) as database:
        async with database.tenant(tenants[0].id) as session:
            stored = await ingest.add(
                session, Document("O'Brien 100%", "Back\\slash and zeppelin's 50% %s.", {"a": "%"})
            )
        reader = database.reader(tenants[0].id)
        hits = await search.query(reader, "the zeppelin\\' 50% O'Brien")
        found = await documents.get(reader, stored.id)
        assert hits[0].passage == "Back\\slash and zeppelin's 50% %s."
        assert found is not None
        assert found.title == "O'Brien 100%"
        assert [item.id for item in (await documents.list(reader)).items] == [stored.id]
        async with database.tenant(tenants[0].id) as session:
            assert await documents.delete(session, stored.id)
