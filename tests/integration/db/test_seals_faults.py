"""A sealer killed anywhere is followed by one that goes on; old rows and long backlogs are sealed too."""

from __future__ import annotations

import asyncio
import json
import sys
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import psycopg
import pytest

from sba_db import migrate, seals
from sba_db.check import check
from tests.integration.db import sealer_process
from tests.integration.db.conftest import until
from tests.integration.db.sealing import INSERT, audit_row, found, id_at, positions, seal, sealer, written

PATIENCE = 60
SEALERS_AT_WORK = """
select count(*) as n from pg_locks where locktype = 'advisory' and objid = 72707372 and granted
    and database = (select oid from pg_database where datname = current_database())
"""
WAITS_IN_THE_SERVER = """
select count(*) as n from pg_stat_activity
where datname = current_database() and usename = 'sba_worker' and wait_event_type = 'Lock'
"""
IN_THE_WAY = """
insert into service.audit_seals (tenant_id, position, audit_id, hash) values (%s, 3, %s, sha256(''))
"""
SEED = """
insert into service.audit_logs (tenant_id, id, action, resource_type, resource_id, after, created_at)
select ('00000000-0000-0000-0000-' || lpad((n %% 7)::text, 12, '0'))::uuid,
       (lpad(to_hex(%s + n), 12, '0') || '7000a000' || lpad(to_hex(n), 12, '0'))::uuid,
       'a', 't', 'r' || n, jsonb_build_object('n', n), timestamptz '2026-05-01' + n * interval '1 minute'
from generate_series(1, %s) n
"""
SEALED = """
insert into service.audit_seals (tenant_id, position, audit_id, hash)
select tenant_id, row_number() over (partition by tenant_id order by audit_id), audit_id, sha256('')
from service.audit_pending
"""
INIT, SEALING = "20261101000000_init", "20261201000100_audit_seals"
ADD_MONTH = "select service.add_partition('audit_logs', '2027-03-01')"


@asynccontextmanager
async def process(urls, point: str) -> AsyncIterator[asyncio.subprocess.Process]:
    order = json.dumps({"worker": urls.worker, "point": point})
    child = await asyncio.create_subprocess_exec(
        sys.executable, str(Path(sealer_process.__file__)), order, stdout=asyncio.subprocess.PIPE
    )
    try:
        yield child
    finally:
        if child.returncode is None:
            child.kill()
        await child.wait()


async def said(child: asyncio.subprocess.Process, point: str) -> None:
    assert child.stdout is not None
    async with asyncio.timeout(PATIENCE):
        while (line := (await child.stdout.readline()).decode().strip()) != point:
            assert line, f"the sealer ended before {point}"


async def until_counted(superuser, query: str, count: int) -> None:
    async def as_many() -> bool:
        return superuser.execute(query).fetchone()["n"] == count

    await until(as_many, seconds=PATIENCE)


@pytest.mark.parametrize(("point", "sealed"), [("uncommitted", 0), ("batch_sealed", 5)])
async def test_a_sealer_killed_between_statements_is_followed_by_another(
    database_urls, superuser, a, point, sealed
):
    rows = [id_at(2026, month) for month in range(1, 13)]
    with superuser.cursor() as cursor:
        cursor.executemany(INSERT, [audit_row(a.id, row) for row in rows])
    async with process(database_urls, point) as child:
        await said(child, point)
        if not sealed:
            assert await seal(database_urls) == 0
        child.kill()
        await child.wait()
    assert len(positions(superuser, a.id)) == sealed
    await until_counted(superuser, SEALERS_AT_WORK, 0)

    assert await seal(database_urls) == 12 - sealed
    assert positions(superuser, a.id) == list(enumerate(rows, 1))
    assert await found(database_urls) == []


async def test_a_sealer_killed_in_the_middle_of_a_batch_leaves_nothing_of_it(
    database, database_urls, superuser, a
):
    rows = await written(database, a, 4)
    with psycopg.connect(database_urls.admin) as rival:
        rival.execute(IN_THE_WAY, (a.id, uuid.uuid4()))
        async with process(database_urls, "nowhere") as child:
            await until_counted(superuser, WAITS_IN_THE_SERVER, 1)
            child.kill()
            await child.wait()
        superuser.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity"
            " where datname = current_database() and usename = 'sba_worker'"
        )
        await until_counted(superuser, SEALERS_AT_WORK, 0)
        assert positions(superuser, a.id) == []
        rival.rollback()

    assert await seal(database_urls) == 4
    assert positions(superuser, a.id) == list(enumerate(rows, 1))
    assert await found(database_urls) == []


@pytest.mark.parametrize("later", [[], None], ids=["alone", "with all that follow"])
async def test_rows_from_before_there_were_seals_are_sealed(blank_database, tmp_path, later):
    shipped = {one.name: one.script for one in migrate.read_migrations()}
    chosen = shipped if later is None else {name: shipped[name] for name in (INIT, SEALING)}
    earlier = folder(tmp_path / "earlier", {name: text for name, text in chosen.items() if name < SEALING})
    await migrate.migrate(blank_database.migrator, folder=earlier)
    with psycopg.connect(blank_database.admin, autocommit=True) as superuser:
        superuser.execute(SEED, (int(id_at(2026, 5).hex[:12], 16), 5000))
        before = superuser.execute("select * from service.audit_logs order by id").fetchall()
        await migrate.migrate(blank_database.migrator, folder=folder(tmp_path / "all", chosen))

        assert superuser.execute("select * from service.audit_logs order by id").fetchall() == before
        assert superuser.execute(
            "select relrowsecurity, relforcerowsecurity from pg_class"
            " where oid = 'service.audit_logs'::regclass"
        ).fetchone() == (True, True)
        superuser.execute(INSERT, audit_row(uuid.uuid4(), id_at(2027, 1)))
        with psycopg.connect(blank_database.migrator, autocommit=True) as owner:
            owner.execute("set role sba_owner")
            owner.execute(ADD_MONTH if later is None else "select")
        superuser.execute(INSERT, audit_row(uuid.uuid4(), id_at(2027, 3)))
    assert await seal(blank_database, most=300, most_each=100) == 5002
    assert await found(blank_database) == []


def folder(path: Path, chosen: dict[str, str]) -> Path:
    for name, script in chosen.items():
        (path / name).mkdir(parents=True)
        (path / name / "migration.sql").write_text(script)
    return path


async def test_the_shipped_migrations_leave_nothing_that_differs(database_urls):
    assert await check(database_urls.migrator) == []


async def test_a_cluster_without_the_sealers_role_is_told_what_to_do(blank_database):
    with psycopg.connect(blank_database.admin, autocommit=True) as superuser:
        script = next(one.script for one in migrate.read_migrations() if one.name == SEALING)
        check_role = script[: script.index("CREATE TABLE")].replace("sba_sealer", "sba_nobody_has_made")
        with pytest.raises(psycopg.errors.RaiseException, match="run `sba-db bootstrap` again"):
            superuser.execute(check_role.encode())


async def test_finding_what_waits_looks_at_no_row_that_is_sealed(database_urls, superuser, a):
    waiting = [audit_row(a.id, id_at(2026, 6)) for _ in range(100)]
    superuser.execute(SEED, (int(id_at(2026, 5).hex[:12], 16), 100_000))
    superuser.execute(SEALED)
    superuser.execute("delete from service.audit_pending")
    superuser.execute("vacuum analyze service.audit_pending, service.audit_seals, service.audit_logs")
    with superuser.cursor() as cursor:
        cursor.executemany(INSERT, waiting)
    plans: list[str] = []
    superuser.add_notice_handler(lambda notice: plans.append(notice.message_primary or ""))
    superuser.execute("load 'auto_explain'")
    for setting in (
        "log_min_duration = 0",
        "log_nested_statements = on",
        "log_analyze = on",
        "log_level = notice",
    ):
        superuser.execute(f"set auto_explain.{setting}")
    superuser.execute("select service.seal_audit(null, 1000, 200)")

    assert any("Index Scan" in plan and "audit_logs" in plan for plan in plans)
    assert not [plan for plan in plans if "Seq Scan" in plan]
    assert [plan for plan in plans if rows_read(plan) > len(waiting)] == []


def rows_read(plan: str) -> int:
    """Most rows that any node of an analysed plan has touched, filtered ones included."""
    touched = [0]
    for line in plan.splitlines():
        if "Rows Removed" in line:
            touched.append(int(line.rsplit(":", 1)[1]))
        if "actual" in line and "rows=" in line:
            touched.append(int(float(line.rsplit("rows=", 1)[1].split()[0].rstrip(")"))))
    return max(touched)


async def test_a_sealer_that_was_away_for_long_catches_up_in_batches(database_urls, superuser):
    superuser.execute(SEED, (int(id_at(2026, 5).hex[:12], 16), 20_000))
    async with sealer(database_urls) as ask:
        first = await ask(seals.SEAL, past=None, most=1000, most_each=200)
    assert (first["taken"], first["more"]) == (1000, True)

    assert await seal(database_urls) == 19_000
    assert await found(database_urls) == []
