"""Audit rows are sealed as they are committed: none missed, none twice, by nobody but the sealer."""

from __future__ import annotations

import asyncio
import uuid
from datetime import datetime

import psycopg
import pytest

from sba_db import AuditLog, audit_logs, seals
from sba_db.errors import AccessDenied, UnsafeRole
from tests.integration.db.sealing import INSERT, audit_row, found, id_at, positions, seal, sealer, written

SEALERS = ("audit_pending", "audit_seals", "audit_checkpoints")
HARD_ROWS = [
    {"after": '{"b": 1.50, "a": [1e400, -0.0, 1E+2, null, true]}'},
    {"before": '"\\u0001\\u001f \\u007f \\ud83d\\ude00 \\\\ \\" / é"'},
    {"before": "{}", "after": "[]"},
    {"after": "null"},
    {"resource_id": "\x01\t\n é ✓ 😀 : -", "request_id": ""},
    {"created_at": datetime.fromisoformat("0001-01-02T00:00:00.000001+00:00")},
    {"created_at": datetime.fromisoformat("9999-12-30T23:59:59.999999+00:00")},
    {"created_at": "infinity"},
    {"created_at": "0044-03-15 BC"},
    {"actor_id": uuid.UUID(int=2**128 - 1)},
]

DIGESTS = "f69b15f1 21d43555 25550216 ccd8bd65 0208addf 3bbec7cf f256bdb4 8478d1ce 32856369 2b26e17a"
FIRST_ID = 0x019E0000_0000_7000_8000_000000000000


async def test_each_tenant_has_a_chain_of_its_own_in_the_order_of_its_rows(
    database, database_urls, superuser, a, b
):
    of_a = await written(database, a, 3)
    of_b = await written(database, b, 2)

    assert await seal(database_urls) == 5
    assert positions(superuser, a.id) == list(enumerate(of_a, 1))
    assert positions(superuser, b.id) == list(enumerate(of_b, 1))
    assert await found(database_urls) == []
    assert await seal(database_urls) == 0


async def test_the_next_rows_go_on_where_the_chain_ended(database, database_urls, superuser, a):
    first = await written(database, a, 2)
    await seal(database_urls)
    then = await written(database, a, 2)
    await seal(database_urls)

    assert positions(superuser, a.id) == list(enumerate([*first, *then], 1))
    assert await found(database_urls) == []


async def test_a_row_that_is_rolled_back_leaves_no_place_in_the_chain(database, database_urls, superuser, a):
    async def abandon() -> None:
        async with database.tenant(a.id) as session:
            await audit_logs.write_audit(
                session, actor_id=None, action="x", resource_type="y", resource_id="z"
            )
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await abandon()

    assert await seal(database_urls) == 0
    assert superuser.execute("select from service.audit_pending").fetchall() == []


async def test_writers_whose_commits_are_held_back_are_sealed_later_and_none_is_missed(
    database, database_urls, superuser, a
):
    gates = [asyncio.Event() for _ in range(6)]
    wrote = [asyncio.Event() for _ in gates]

    async def late(number: int) -> AuditLog:
        async with database.tenant(a.id) as session:
            row = await audit_logs.write_audit(
                session, actor_id=None, action="late", resource_type="y", resource_id=str(number)
            )
            wrote[number].set()
            await gates[number].wait()
        return row

    writers = [asyncio.create_task(late(number)) for number in range(6)]
    async with asyncio.timeout(30):
        await asyncio.gather(*(event.wait() for event in wrote))
        early = await written(database, a, 2)
        expected = [*early]
        assert await seal(database_urls) == 2
        for number in (4, 1, 5, 0, 3, 2):
            gates[number].set()
            row = await writers[number]
            assert await seal(database_urls) == 1
            expected.append(row.id)

    assert positions(superuser, a.id) == list(enumerate(expected, 1))
    assert sorted(expected) != expected
    assert await found(database_urls) == []


async def test_writers_do_not_wait_for_the_sealer_or_for_each_other(database, database_urls, a):
    await written(database, a, 3)
    async with await psycopg.AsyncConnection.connect(database_urls.worker) as busy, asyncio.timeout(30):
        await busy.execute("select service.seal_audit(null, 100, 100)")
        async with database.tenant(a.id) as session:
            await audit_logs.write_audit(
                session, actor_id=None, action="x", resource_type="y", resource_id="z"
            )
            await written(database, a, 3)
        await busy.commit()

    assert await seal(database_urls) == 4
    assert await found(database_urls) == []


async def test_two_sealers_at_once_make_one_chain(database, database_urls, superuser, a, b):
    made = {a.id: await written(database, a, 40), b.id: await written(database, b, 40)}
    async with sealer(database_urls) as one, sealer(database_urls) as other:
        took = [0, 0]
        async with asyncio.timeout(60):
            while sum(took) < 80:
                batch = await asyncio.gather(*(seals.seal(ask, most=3, most_each=2) for ask in (one, other)))
                took = [sum(pair) for pair in zip(took, batch, strict=True)]

    for tenant, rows in made.items():
        assert positions(superuser, tenant) == list(enumerate(rows, 1))
    assert await found(database_urls) == []


async def test_a_tenant_with_a_long_backlog_does_not_keep_the_others_waiting(
    database, database_urls, superuser
):
    tenants = sorted(uuid.uuid4() for _ in range(4))
    rows = [audit_row(tenants[0], id_at(2026, 5)) for _ in range(50)]
    rows += [audit_row(one, id_at(2026, 6)) for one in tenants[1:]]
    with superuser.cursor() as cursor:
        cursor.executemany(INSERT, rows)
    async with sealer(database_urls) as ask:
        first = await ask(seals.SEAL, past=None, most=13, most_each=10)

    assert (first["taken"], first["reached"], first["more"]) == (13, tenants[3], True)
    assert [len(positions(superuser, one)) for one in tenants] == [10, 1, 1, 1]
    assert await seal(database_urls, most=13, most_each=10) == 40
    assert await found(database_urls) == []


async def test_rows_that_are_written_again_are_not_sealed_again(database, database_urls, superuser, a):
    (row,) = await written(database, a, 1)
    await seal(database_urls)
    superuser.execute(
        "with moved as (delete from service.audit_logs where id = %s returning *)"
        " select * into temporary kept from moved",
        (row,),
    )
    superuser.execute("insert into service.audit_logs select * from kept")

    assert await seal(database_urls) == 1
    assert positions(superuser, a.id) == [(1, row)]
    assert await found(database_urls) == []


@pytest.mark.parametrize("timezone", ["UTC", "Asia/Jakarta"])
@pytest.mark.parametrize("bytea", ["hex", "escape"])
async def test_what_is_hashed_does_not_depend_on_settings(database_urls, superuser, a, timezone, bytea):
    with superuser.cursor() as cursor:
        cursor.executemany(INSERT, [audit_row(a.id, id_at(2026, 6), **fields) for fields in HARD_ROWS])
    settings = (
        f"-c timezone={timezone} -c bytea_output={bytea} -c extra_float_digits=-10 -c datestyle=sql,dmy"
    )
    options = {"options": settings + " -c intervalstyle=iso_8601 -c escape_string_warning=off"}
    with psycopg.connect(database_urls.worker, autocommit=True, **options) as connection:
        connection.execute("select service.seal_audit(null, 1000, 1000)")
    url = psycopg.conninfo.make_conninfo(
        database_urls.migrator,
        options="-c timezone=America/New_York -c bytea_output=escape -c datestyle=german",
    )

    assert len(positions(superuser, a.id)) == len(HARD_ROWS)
    assert await found(type(database_urls)(database_urls.admin, url, "", "", "")) == []


async def test_what_is_hashed_is_the_same_on_every_version_of_postgres(database_urls, superuser):
    tenant = uuid.UUID(int=7)
    with superuser.cursor() as cursor:
        rows = [audit_row(tenant, uuid.UUID(int=FIRST_ID + n), **row) for n, row in enumerate(HARD_ROWS)]
        cursor.executemany(INSERT, rows)
    await seal(database_urls)
    sealed = superuser.execute("select row_hash from service.audit_seals order by position").fetchall()

    assert [row["row_hash"].hex()[:8] for row in sealed] == DIGESTS.split()


async def test_the_application_can_read_its_tenants_seals_and_write_none(database, database_urls, a, b):
    await written(database, a, 2)
    await written(database, b, 1)
    assert await audit_logs.last_seal(database.reader(a.id)) is None
    await seal(database_urls)
    head = await audit_logs.last_seal(database.reader(a.id))
    others = await database.reader(a.id).fetch_all(
        "select from service.audit_seals where tenant_id <> %(tenant)s"
    )

    assert head is not None
    assert (head.tenant_id, head.position, len(head.hash)) == (a.id, 2, 32)
    assert others == []


ATTEMPTS = [
    *(f"insert into service.{table} (tenant_id) values (%(tenant)s)" for table in SEALERS),
    *(f"update service.{table} set tenant_id = tenant_id where tenant_id = %(tenant)s" for table in SEALERS),
    *(f"delete from service.{table} where tenant_id = %(tenant)s" for table in SEALERS),
    "select from service.audit_pending where tenant_id = %(tenant)s",
    "update service.audit_logs set action = 'x' where tenant_id = %(tenant)s",
    "delete from service.audit_logs where tenant_id = %(tenant)s",
    "select service.seal_audit(%(tenant)s, 1, 1)",
    "select service.seal_tenant_audit(%(tenant)s, 1)",
    "select service.checkpoint_audit(%(tenant)s)",
    "select service.audit_field(%(tenant)s::text)",
]


@pytest.mark.parametrize("statement", ATTEMPTS)
async def test_the_application_cannot_touch_the_chain_or_the_rows(database, a, statement):
    with pytest.raises(AccessDenied):
        async with database.tenant(a.id) as session:
            await session.execute(statement)


@pytest.mark.parametrize(
    "statement",
    [
        "select from service.audit_logs",
        "select from service.audit_seals",
        "insert into service.audit_pending values (gen_random_uuid(), gen_random_uuid())",
        "select service.checkpoint_audit(gen_random_uuid())",
        "select service.seal_tenant_audit(gen_random_uuid(), 1)",
        "set role sba_sealer",
    ],
)
def test_the_worker_can_ask_for_seals_and_for_nothing_else(database_urls, statement):
    with psycopg.connect(database_urls.worker, autocommit=True) as connection:
        connection.execute("select service.seal_audit(null, 1, 1)")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(statement)


async def test_the_owner_still_sees_nobodys_audit_rows(database, database_urls, a):
    await written(database, a, 1)
    with psycopg.connect(database_urls.migrator, autocommit=True) as connection:
        connection.execute("set role sba_owner")
        seen = [
            connection.execute(f"select from service.{one}").fetchall() for one in ("audit_logs", *SEALERS)
        ]

    assert seen == [[]] * 4


async def test_a_login_that_is_not_the_migrator_cannot_verify(database_urls):
    for url in (database_urls.app, database_urls.worker):
        with pytest.raises(UnsafeRole):
            await found(type(database_urls)("", url, "", "", ""))
