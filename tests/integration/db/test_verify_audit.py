"""Whatever a superuser does to the audit trail is named by a verification, or by one with an anchor."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest
from click.testing import CliRunner

from sba_db import anchors
from sba_db.anchors import Anchor, export_anchors, from_json
from sba_db.cli import main
from sba_db.errors import DatabaseUnavailable, UnsafeRole
from sba_db.verify_audit import verify_audit
from tests.integration.db.sealing import INSERT, Superuser, audit_row, found, id_at, positions, seal, written

ROW = "(select audit_id from service.audit_seals where tenant_id = %(tenant)s and position = {})"
AUDIT = "service.audit_logs"
SEALS = "service.audit_seals"
AT = "where tenant_id = %(tenant)s and position ="
OTHER = "0" * 31 + "1"
CHANGES = {
    "actor_id": f"'{OTHER}'",
    "action": "'b'",
    "resource_type": "'b'",
    "resource_id": "resource_id || ' '",
    "before": "'null'",
    "after": """after || '{"n": 7}'""",
    "request_id": "''",
    "created_at": "created_at + interval '1 microsecond'",
}
SWAPPED = f"""
update {AUDIT} set id = case id when {ROW.format(2)} then {ROW.format(3)} else {ROW.format(2)} end
where tenant_id = %(tenant)s and id in ({ROW.format(2)}, {ROW.format(3)})
"""
ATTACKS = [
    *(
        (f"update {AUDIT} set {column} = {value} where id = {ROW.format(2)}", [("changed", 2)])
        for column, value in CHANGES.items()
    ),
    (f"delete from {AUDIT} where id = {ROW.format(1)}", [("deleted", 1)]),
    (f"delete from {AUDIT} where id = {ROW.format(4)}", [("deleted", 4)]),
    (f"delete from {AUDIT} where tenant_id = %(tenant)s", [("deleted", n) for n in range(1, 5)]),
    (
        f"update {AUDIT} set tenant_id = '{OTHER}' where id = {ROW.format(3)}",
        [("unsealed", None), ("deleted", 3)],
    ),
    (f"delete from {SEALS} {AT} 2", [("missing_seal", 2), ("unsealed", None)]),
    (f"delete from {SEALS} {AT} 1", [("missing_seal", 1), ("unsealed", None)]),
    (f"delete from {SEALS} {AT} 4", [("unsealed", None)]),
    (f"delete from {SEALS} where tenant_id = %(tenant)s", [("unsealed", None)] * 4),
    (f"update {SEALS} set hash = row_hash {AT} 2", [("broken", 2), ("broken", 3)]),
    (f"update {SEALS} set hash = row_hash {AT} 4", [("broken", 4)]),
    (
        f"update {SEALS} set row_hash = hash {AT} 2",
        [("broken", 2), ("changed", 2)],
    ),
    (
        f"update {SEALS} set row_hash = null {AT} 2",
        [("broken", 2), ("changed", 2)],
    ),
    (f"update {SEALS} set sealed_at = sealed_at - interval '1 us' {AT} 2", [("broken", 2)]),
    (
        f"update {SEALS} set audit_id = '{OTHER}' {AT} 3",
        [("broken", 3), ("deleted", 3), ("unsealed", None)],
    ),
    (f"update {SEALS} set position = 9 {AT} 4", [("missing_seal", 4)]),
]
SWAP_POSITIONS = [
    "alter table service.audit_seals drop constraint audit_seals_pkey",
    "update service.audit_seals set position = 5 - position where position in (2, 3)",
]
RECOMPUTE = """
do $$
declare
    one record;
begin
    create temporary table todo as select tenant_id, audit_id from service.audit_seals order by position;
    delete from service.audit_seals;
    insert into service.audit_pending select * from todo on conflict do nothing;
    perform service.seal_audit(null, 1000, 1000);
end $$
"""


@pytest.fixture
async def sealed(database, database_urls, a, b) -> None:
    """Four sealed rows of tenant A, two of tenant B."""
    await written(database, a, 4)
    await written(database, b, 2)
    await seal(database_urls)


@pytest.mark.parametrize(("attack", "expected"), ATTACKS, ids=lambda one: str(one)[:70])
@pytest.mark.usefixtures("sealed")
async def test_a_manipulation_is_found_where_it_was_made(database_urls, superuser, a, attack, expected):
    assert await found(database_urls) == []
    superuser.execute(attack, {"tenant": a.id})

    assert sorted(await found(database_urls), key=str) == sorted(expected, key=str)


async def test_rows_that_trade_places_are_found(database_urls, superuser, sealed, a):
    superuser.execute("alter table service.audit_logs drop constraint audit_logs_pkey")
    superuser.execute(SWAPPED, {"tenant": a.id})

    assert await found(database_urls) == [("changed", 2), ("changed", 3)]


async def test_seals_that_trade_places_are_found(database_urls, superuser, sealed, a):
    for statement in SWAP_POSITIONS:
        superuser.execute(statement + (f" and tenant_id = '{a.id}'" if "update" in statement else ""))

    assert await found(database_urls) == [("broken", 2), ("broken", 3), ("broken", 4)]


async def test_a_row_put_in_behind_the_triggers_back_is_found(database_urls, superuser, sealed, a):
    superuser.execute("set session_replication_role = replica")
    superuser.execute(INSERT, audit_row(a.id, id_at(2026, 1)))

    assert await found(database_urls) == [("unsealed", None)]
    assert await seal(database_urls) == 0


async def test_a_row_that_is_removed_before_its_seal_is_found(database, database_urls, superuser, sealed, a):
    (row,) = await written(database, a, 1)
    superuser.execute("delete from service.audit_logs where id = %s", (row,))
    await seal(database_urls)

    assert await found(database_urls) == [("deleted", 5)]


async def test_rows_that_wait_for_their_seal_are_counted_and_not_blamed(database, database_urls, sealed, a):
    await written(database, a, 3)
    done = await verify_audit(database_urls.migrator, print)

    assert (done.tenants, done.seals, done.waiting, done.findings) == (2, 6, 3, 0)


async def cut_the_tail(superuser: Superuser, tenant: uuid.UUID, keep: int) -> None:
    superuser.execute(
        "with cut as ("
        " delete from service.audit_seals where tenant_id = %s and position > %s returning audit_id"
        ") delete from service.audit_logs using cut where id = audit_id",
        (tenant, keep),
    )


async def test_a_tail_that_is_cut_off_is_found_with_the_anchor_alone(database_urls, superuser, sealed, a, b):
    heads = await export_anchors(database_urls.migrator)
    await cut_the_tail(superuser, a.id, 2)

    assert await found(database_urls) == []
    assert await found(database_urls, heads) == [("truncated", 3)]
    assert await found(database_urls, heads, b.id) == []


async def test_a_chain_that_is_gone_as_a_whole_is_found_with_the_anchor(database_urls, superuser, sealed, a):
    heads = await export_anchors(database_urls.migrator)
    await cut_the_tail(superuser, a.id, 0)

    assert await found(database_urls, heads) == [("truncated", 1)]


async def test_a_tail_that_is_cut_and_grows_again_is_found_with_the_anchor(
    database, database_urls, superuser, sealed, a
):
    heads = await export_anchors(database_urls.migrator)
    await cut_the_tail(superuser, a.id, 3)
    await written(database, a, 2)
    await seal(database_urls)

    assert await found(database_urls) == []
    assert await found(database_urls, heads) == [("rewritten", 4)]


async def test_a_chain_computed_anew_over_changed_rows_is_found_with_the_anchor_alone(
    database_urls, superuser, sealed, a, b
):
    heads = await export_anchors(database_urls.migrator)
    superuser.execute(f"update {AUDIT} set action = 'harmless' where id = {ROW.format(2)}", {"tenant": a.id})
    superuser.execute(RECOMPUTE)

    assert len(positions(superuser, a.id)) == 4
    assert await found(database_urls) == []
    assert sorted(await found(database_urls, heads)) == [("rewritten", 2), ("rewritten", 4)]


async def test_an_anchor_still_fits_when_the_chain_has_grown(database, database_urls, sealed, a):
    heads = await export_anchors(database_urls.migrator)
    await written(database, a, 5)
    await seal(database_urls)

    assert await found(database_urls, heads) == []


async def test_only_the_tenant_that_is_asked_for_is_looked_at(database_urls, superuser, sealed, a, b):
    superuser.execute("delete from service.audit_logs where tenant_id = %s", (b.id,))

    assert await found(database_urls, tenant=a.id) == []
    assert await found(database_urls, tenant=b.id) == [("deleted", 1), ("deleted", 2)]
    assert await found(database_urls, tenant=uuid.uuid4()) == []


def test_the_command_line_names_tenant_position_and_kind(database_urls, superuser, sealed, a, tmp_path: Path):
    run, environment = CliRunner().invoke, {"SBA_MIGRATION_DATABASE_URL": database_urls.migrator}
    file = tmp_path / "anchor.json"
    exported = run(main, ["export-anchor", "--output", str(file)], env=environment)
    clean = run(main, ["verify-audit", "--anchor", str(file)], env=environment)
    superuser.execute(f"update {AUDIT} set action = 'x' where id = {ROW.format(3)}", {"tenant": a.id})
    row = dict(positions(superuser, a.id))[3]
    dirty = run(main, ["verify-audit", "--tenant", str(a.id)], env=environment)

    assert (exported.exit_code, clean.exit_code, dirty.exit_code) == (0, 0, 1)
    assert from_json(run(main, ["export-anchor"], env=environment).output) == from_json(file.read_text())
    assert clean.output == "2 tenants, 6 seals, 0 waiting, 0 findings\n"
    assert dirty.output == f"{a.id} 3 changed {row}\n1 tenant, 4 seals, 0 waiting, 1 finding\n"


def test_the_command_line_refuses_a_file_that_is_no_anchor(database_urls, tmp_path: Path):
    (tmp_path / "anchor.json").write_text("{")
    arguments = ["verify-audit", "--url", database_urls.migrator, "--anchor", str(tmp_path / "anchor.json")]
    refused = CliRunner().invoke(main, arguments)

    assert refused.exit_code == 1
    assert refused.output == "Error: anchor: not what sba-db export-anchor writes\n"


async def test_a_cluster_that_was_not_bootstrapped_again_is_an_error(database_urls, monkeypatch):
    monkeypatch.setattr(anchors, "SEALER", "sba_nobody_has_made")

    with pytest.raises(UnsafeRole, match="cannot act as sba_nobody_has_made"):
        await export_anchors(database_urls.migrator)


async def test_a_server_that_is_away_is_no_finding():
    with pytest.raises(DatabaseUnavailable):
        await verify_audit(
            "postgresql://sba_migrator@127.0.0.1:9/none", print, anchors={uuid.uuid4(): Anchor(1, b"")}
        )
