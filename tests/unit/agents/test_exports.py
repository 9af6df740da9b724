"""The public contract of the package."""

from __future__ import annotations

import subprocess
import sys

import sba_agents


def test_everything_exported_exists_and_is_listed_in_order() -> None:
    assert list(sba_agents.__all__) == sorted(sba_agents.__all__)
    assert all(hasattr(sba_agents, name) for name in sba_agents.__all__)


def test_importing_the_package_does_not_load_the_queue() -> None:
    code = "import sys, sba_agents; print(sorted({'procrastinate', 'redis', 'httpx'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "procrastinate" not in done.stdout
