"""The whole platform, started the way its reader would."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

SBA_LOCAL = Path(sys.executable).with_name("sba-local")


@dataclass(frozen=True, slots=True)
class Platform:
    """A platform in another process.

    Attributes:
        process: `sba-local up` itself.
        data_dir: Where it keeps its data.
        environment: What its `env` file says.
        greeting: What it printed until it was ready.
    """

    process: subprocess.Popen[str]
    data_dir: Path
    environment: dict[str, str]
    greeting: str

    def token(self, tenant: str, user: str, *more: str) -> str:
        """What `sba-local token` prints."""
        command = [SBA_LOCAL, "token", "--data-dir", self.data_dir, "--tenant", tenant, "--user", user, *more]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def start(data_dir: Path) -> Platform:
    """`sba-local up --data-dir …`, once it says that it is ready."""
    command = [SBA_LOCAL, "up", "--data-dir", str(data_dir)]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=data_dir.parent
    )
    greeting = ""
    assert process.stdout is not None
    for line in process.stdout:
        greeting += line
        if line.lstrip().startswith("curl") and "limit=1" in line:
            break
    else:
        raise AssertionError(f"it ended with {process.wait()}:\n{greeting}")
    lines = (data_dir / "env").read_text(encoding="utf-8").splitlines()
    return Platform(process, data_dir, dict(line.split("=", 1) for line in lines), greeting)


def stop(platform: Platform) -> int:
    """Ctrl-C, and its exit status."""
    platform.process.send_signal(signal.SIGINT)
    platform.process.communicate(timeout=40)
    return platform.process.returncode


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    place = tmp_path_factory.mktemp("platform")
    if os.geteuid() == 0:
        for folder in (place, *place.parents[:2]):
            folder.chmod(0o755)
    started = start(place / "data")
    yield started
    assert stop(started) == 0
