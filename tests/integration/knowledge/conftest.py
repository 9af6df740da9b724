"""A small corpus of two companies, in English and Indonesian."""

from __future__ import annotations

import pytest

from sba_db import Database
from sba_knowledge import Document, ingest

CORPUS = {
    "Roasting schedule": (
        "The drum roaster is preheated to 205 degrees for twenty minutes. Light batches leave the drum at "
        "first crack.\n\nDark batches stay in for another ninety seconds, and the cooling tray must be "
        "emptied before the next charge."
    ),
    "Harbour parking": (
        "Visitors leave their cars on deck three. A parking permit is issued by the porter and is valid "
        "until midnight."
    ),
    "Aturan cuti": (
        "Setiap pegawai memperoleh dua belas hari cuti tahunan. Permohonan cuti diajukan kepada atasan "
        "paling lambat tujuh hari sebelumnya.\n\n"
        "Cuti melahirkan diberikan selama tiga bulan dengan upah penuh."
    ),
    "Perawatan mesin giling": (
        "Pisau mesin giling diasah setiap hari Senin. Sebelum membersihkan corong, teknisi wajib mencabut "
        "kabel listrik dan menunggu sampai putaran berhenti."
    ),
    "Backups": (
        "Database backups run every night at two and are kept for thirty-five days. Restoring one takes "
        "about forty minutes and needs two operators."
    ),
}


@pytest.fixture
async def corpus(database: Database, tenants) -> dict[str, object]:
    """The first tenant knows the corpus; maps each title to its document id."""
    ids = {}
    async with database.tenant(tenants[0].id) as session:
        for title, content in CORPUS.items():
            stored = await ingest.add(session, Document(title, content))
            ids[title] = stored.id
    return ids
