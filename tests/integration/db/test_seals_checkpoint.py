"""Retention writes a checkpoint first: what it says may be gone, and nothing else."""

from __future__ import annotations

import uuid

import pytest

from sba_db import seals
from sba_db.anchors import export_anchors
from sba_db.owner import owner_connection
from tests.integration.db.sealing import INSERT, audit_row, found, id_at, positions, seal

MAY = id_at(2026, 5)
CHECKPOINTS = (
    "select before_id, position, created_by from service.audit_checkpoints where tenant_id = %s order by 1"
)


async def checkpoint(urls, before: uuid.UUID) -> None:
    async with owner_connection(urls.migrator) as connection:
        await seals.checkpoint(connection, before)


def add(superuser, tenant, *ids: uuid.UUID) -> None:
    with superuser.cursor() as cursor:
        cursor.executemany(INSERT, [audit_row(tenant.id, one) for one in ids])


@pytest.fixture
async def months(database_urls, superuser, a) -> list[uuid.UUID]:
    """Rows of March to June of tenant A, sealed in this order."""
    ids = [id_at(2026, month) for month in (3, 4, 5, 6)]
    add(superuser, a, *ids)
    await seal(database_urls)
    return ids


def drop(superuser, *ids: uuid.UUID) -> None:
    superuser.execute("delete from service.audit_logs where id = any(%s)", (list(ids),))


async def test_rows_before_a_checkpoint_may_be_gone(database_urls, superuser, a, months):
    anchors = await export_anchors(database_urls.migrator)
    await checkpoint(database_urls, months[2])
    drop(superuser, *months[:2])

    assert await found(database_urls, anchors) == []
    assert superuser.execute(CHECKPOINTS, (a.id,)).fetchall() == [
        {"before_id": months[2], "position": 2, "created_by": "sba_migrator"}
    ]


async def test_dropping_more_than_the_checkpoint_says_is_found(database_urls, superuser, months):
    await checkpoint(database_urls, months[2])
    drop(superuser, *months[:3])

    assert await found(database_urls) == [("deleted", 3)]


async def test_what_a_checkpoint_spares_is_still_verified(database_urls, superuser, months):
    await checkpoint(database_urls, months[2])
    superuser.execute(
        "update service.audit_logs set action = 'x' where id = any(%s)", ([months[0], months[3]],)
    )

    assert await found(database_urls) == [("changed", 1), ("changed", 4)]


async def test_dropping_without_a_checkpoint_is_found(database_urls, superuser, months):
    drop(superuser, *months[:2])

    assert await found(database_urls) == [("deleted", 1), ("deleted", 2)]


async def test_rows_that_still_wait_are_sealed_before_they_may_go(database_urls, superuser, a, b, months):
    waiting = {tenant.id: [id_at(2026, 2), id_at(2026, 4), id_at(2026, 6)] for tenant in (a, b)}
    for tenant in (a, b):
        add(superuser, tenant, *waiting[tenant.id])
    await checkpoint(database_urls, months[2])

    assert [one for _, one in positions(superuser, b.id)] == waiting[b.id]
    drop(superuser, *waiting[a.id][:2], *waiting[b.id][:2], *months[:2])
    assert await found(database_urls) == []


async def test_a_row_that_was_sealed_late_may_go_too(database_urls, superuser, a, months):
    late = id_at(2026, 4)
    add(superuser, a, late)
    await seal(database_urls)
    await checkpoint(database_urls, months[2])
    drop(superuser, *months[:2], late)

    assert positions(superuser, a.id)[4] == (5, late)
    assert await found(database_urls) == []
    drop(superuser, months[2])
    assert await found(database_urls) == [("deleted", 3)]


async def test_a_tenant_whose_chain_begins_with_a_row_that_stays(database_urls, superuser, b):
    stays, goes = id_at(2026, 6), id_at(2026, 4)
    add(superuser, b, stays)
    await seal(database_urls)
    add(superuser, b, goes)
    await seal(database_urls)
    await checkpoint(database_urls, MAY)
    drop(superuser, goes)

    assert superuser.execute(CHECKPOINTS, (b.id,)).fetchall()[0]["position"] == 0
    assert await found(database_urls) == []
    superuser.execute("update service.audit_checkpoints set hash = sha256('')")
    assert await found(database_urls) == [("checkpoint", 0)]


async def test_checkpoints_follow_each_other_and_say_nothing_twice(database_urls, superuser, a, b, months):
    for before in (months[1], months[1], months[2], months[0], id_at(2026, 7)):
        await checkpoint(database_urls, before)

    assert [row["position"] for row in superuser.execute(CHECKPOINTS, (a.id,))] == [1, 2, 4]
    assert superuser.execute(CHECKPOINTS, (b.id,)).fetchall() == []
    drop(superuser, *months)
    assert await found(database_urls) == []


async def test_a_checkpoint_is_a_witness_of_the_chain(database_urls, superuser, a, months):
    await checkpoint(database_urls, months[3])
    superuser.execute("update service.audit_checkpoints set hash = sha256('')")
    assert await found(database_urls) == [("checkpoint", 3)]

    superuser.execute("delete from service.audit_seals where position > 1")
    drop(superuser, *months)
    assert await found(database_urls) == [("truncated", 2)]


async def test_a_checkpoint_can_be_part_of_the_transaction_that_drops(database_urls, superuser, a, months):
    async with (
        owner_connection(database_urls.migrator) as connection,
        connection.transaction(force_rollback=True),
    ):
        await seals.checkpoint(connection, months[2])

    assert superuser.execute(CHECKPOINTS, (a.id,)).fetchall() == []
