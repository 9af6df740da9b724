"""What the files of a cluster say about it."""

import os

import pytest

from sba_local.cluster import check_cluster, clear_stale_pid, is_ready
from sba_local.errors import DataDirCorrupt, DataDirLocked, DataDirVersion


def test_another_version_is_named(tmp_path):
    (tmp_path / "PG_VERSION").write_text("17\n")
    with pytest.raises(DataDirVersion, match="version 17, this is version 18") as caught:
        check_cluster(tmp_path, tmp_path, "18")
    assert (caught.value.found, caught.value.expected) == ("17", "18")


@pytest.mark.parametrize("content", [None, b"", b"\xff\xfe", b"eighteen"])
def test_a_cluster_that_does_not_say_its_version_is_damaged(tmp_path, content):
    if content is not None:
        (tmp_path / "PG_VERSION").write_bytes(content)
    with pytest.raises(DataDirCorrupt, match="PG_VERSION"):
        check_cluster(tmp_path, tmp_path, "18")


def test_readiness_is_read_from_the_servers_own_file(tmp_path):
    assert not is_ready(tmp_path)
    path = tmp_path / "postmaster.pid"
    path.write_text("1\n\n\n\n\n\n\nstarting\n")
    assert not is_ready(tmp_path)
    path.write_text("1\n\n\n\n\n\n\nready   \n")
    assert is_ready(tmp_path)


@pytest.mark.parametrize(
    "content",
    ["", "not a number\n", "-1\n", "4194999\n", f"{os.getpid()}\n"],
    ids=["empty", "no number", "negative", "nobody", "another program"],
)
def test_a_pid_file_of_no_postgres_is_removed(tmp_path, content):
    path = tmp_path / "postmaster.pid"
    path.write_text(content)
    clear_stale_pid(tmp_path, tmp_path)
    assert not path.exists()
    clear_stale_pid(tmp_path, tmp_path)


def test_a_pid_file_of_a_running_postgres_is_respected(tmp_path, monkeypatch):
    monkeypatch.setattr("sba_local.cluster._command_of", lambda _pid: b"/usr/lib/postgres\0-D")
    path = tmp_path / "postmaster.pid"
    path.write_text("4242\n")
    with pytest.raises(DataDirLocked, match="process 4242"):
        clear_stale_pid(tmp_path, tmp_path)
    assert path.exists()
