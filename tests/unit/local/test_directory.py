"""Data directories: who may use one, and what lies in it for whom to see."""

import os
import stat
import subprocess
import sys

import pytest

from sba_local.directory import (
    DirectoryLock,
    last_lines,
    make_directory,
    open_log,
    private_text,
    wait_until,
    write_private,
)
from sba_local.errors import DataDirLocked, DataDirUnusable


def test_only_one_may_have_it_and_the_other_learns_who(tmp_path):
    first, second = DirectoryLock(tmp_path), DirectoryLock(tmp_path)
    first.acquire()
    with pytest.raises(DataDirLocked, match=f"process {os.getpid()}") as caught:
        second.acquire()
    assert caught.value.holder == os.getpid()
    first.release()
    second.acquire()
    second.release()


def test_a_server_on_its_way_out_is_waited_for_and_then_reported(tmp_path):
    first, second = DirectoryLock(tmp_path), DirectoryLock(tmp_path, patience=0.1)
    first.acquire()
    keeper = os.dup(first.server)
    first.release()
    with pytest.raises(DataDirLocked):
        second.acquire()
    os.close(keeper)
    second.acquire()
    second.release()


def test_the_servers_lock_exists_only_while_locked(tmp_path):
    with pytest.raises(RuntimeError):
        _ = DirectoryLock(tmp_path).server


def test_a_holder_that_cannot_be_read_is_just_another_process(tmp_path):
    lock = DirectoryLock(tmp_path)
    lock.acquire()
    (tmp_path / "launcher.lock").write_text("?")
    with pytest.raises(DataDirLocked, match="another process"):
        DirectoryLock(tmp_path).acquire()
    lock.release()


def test_a_directory_that_is_gone_cannot_be_locked(tmp_path):
    with pytest.raises(DataDirUnusable):
        DirectoryLock(tmp_path / "gone").acquire()


def test_it_is_made_for_its_owner_alone(tmp_path):
    made = make_directory(tmp_path / "a" / "b")
    assert stat.S_IMODE(made.stat().st_mode) == 0o700


def test_somebody_elses_files_are_not_taken_over(tmp_path):
    (tmp_path / "thesis.txt").write_text("dear to somebody")
    mode = tmp_path.stat().st_mode
    with pytest.raises(DataDirUnusable, match="holds files that are not ours"):
        make_directory(tmp_path, mode=0o711)
    assert tmp_path.stat().st_mode == mode


def test_a_file_is_no_directory(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(DataDirUnusable):
        make_directory(tmp_path / "file")


def test_private_text_is_made_once_and_kept_private(tmp_path):
    path = tmp_path / "word"
    assert private_text(path, lambda: "one") == "one"
    assert private_text(path, lambda: "two") == "one"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_rewriting_leaves_no_other_file_behind(tmp_path):
    write_private(tmp_path / "word", "one")
    write_private(tmp_path / "word", "two")
    assert [path.name for path in tmp_path.iterdir()] == ["word"]
    assert (tmp_path / "word").read_text() == "two"


def test_the_log_of_the_start_before_is_kept(tmp_path):
    for word in (b"one\n", b"two\n"):
        log = open_log(tmp_path / "log")
        os.write(log, word)
        os.close(log)
    assert last_lines(tmp_path / "log") == "two"
    assert last_lines(tmp_path / "log.1") == "one"
    assert last_lines(tmp_path / "none") == ""


def test_waiting_ends_when_the_time_is_up():
    ticks = iter(range(10))
    assert not wait_until(lambda: False, seconds=3, clock=lambda: next(ticks))


def test_a_lock_is_not_inherited_by_unrelated_children(tmp_path):
    lock = DirectoryLock(tmp_path)
    lock.acquire()
    child = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
    lock.release()
    again = DirectoryLock(tmp_path, patience=0)
    again.acquire()
    again.release()
    child.communicate()
