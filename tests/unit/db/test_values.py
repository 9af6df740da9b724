"""Ids sort by time, settings hide their secret, migrations know how they must run."""

from __future__ import annotations

import dataclasses

import pytest

from sba_db import DatabaseSettings, RunStatus, new_id
from sba_db.bootstrap import RolePasswords
from sba_db.migrate import Migration, read_migrations


def test_ids_are_version_seven_and_ascend():
    made = [new_id() for _ in range(2000)]

    assert {one.version for one in made} == {7}
    assert made == sorted(made)
    assert len(set(made)) == 2000


def test_settings_and_passwords_do_not_show_their_secrets():
    shown = repr(DatabaseSettings(url="postgresql://u:hunter2@h/d")) + repr(
        RolePasswords("hunter2", "hunter2", "hunter2")
    )

    assert "hunter2" not in shown


def test_settings_are_values():
    with pytest.raises(dataclasses.FrozenInstanceError):
        DatabaseSettings(url="x").max_size = 3  # type: ignore[misc]  # that is the test


def test_a_run_is_finished_in_every_status_but_two():
    assert {one for one in RunStatus if not one.finished} == {RunStatus.QUEUED, RunStatus.RUNNING}


@pytest.mark.parametrize(
    ("script", "transactional"),
    [
        ("create index concurrently x on y (z)", False),
        ("CREATE INDEX CONCURRENTLY x ON y (z);", False),
        ("-- not concurrently\ncreate index x on y (z);", True),
        ("create table concurrent (id int)", True),
    ],
)
def test_a_concurrent_index_runs_outside_a_transaction(script, transactional):
    assert Migration("x", script).transactional is transactional


def test_shipped_migrations_are_named_in_order_and_leave_nothing_half_done():
    migrations = read_migrations()

    assert [one.name for one in migrations] == sorted(one.name for one in migrations)
    assert migrations
    assert all(one.transactional or one.repeatable for one in migrations)
