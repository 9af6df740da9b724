"""Places and processes for tests of the launchers."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from sba_local.directory import wait_until


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory every user may enter, so that root's Postgres needs no shelter."""
    path = Path(tempfile.mkdtemp(prefix="sba-test-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


class Processes:
    """Python programs that a test starts and may kill."""

    def __init__(self) -> None:
        self._started: list[subprocess.Popen[str]] = []

    def python(self, code: str, *arguments: object, **options: object) -> subprocess.Popen[str]:
        """Start a program; its standard output is a pipe."""
        popen = subprocess.Popen(
            [sys.executable, "-c", code, *map(str, arguments)],
            stdout=subprocess.PIPE,
            text=True,
            **options,
        )
        self._started.append(popen)
        return popen

    def close(self) -> None:
        """End all of them."""
        for popen in self._started:
            popen.kill()
            popen.wait()
            popen.stdout.close()


@pytest.fixture
def processes() -> Iterator[Processes]:
    started = Processes()
    yield started
    started.close()


def mentioning(place: Path) -> list[list[str]]:
    """The command lines of the processes, ours excepted, that name `place` or are in it."""
    found = []
    for process in psutil.process_iter(["pid", "cmdline", "cwd"]):
        line = process.info["cmdline"] or []
        if process.info["pid"] != os.getpid() and any(
            str(place) in part for part in (*line, process.info["cwd"] or "")
        ):
            found.append(line)
    return found


@pytest.fixture
def nothing_left():
    """A check that no process names a directory, some seconds granted."""

    def check(place: Path) -> bool:
        return wait_until(lambda: not mentioning(place), seconds=20)

    return check
