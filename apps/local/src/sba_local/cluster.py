"""What the files of a Postgres cluster say about it."""

import subprocess
from pathlib import Path

from sba_local.errors import DataDirCorrupt, DataDirLocked, DataDirVersion

_READY_LINE = 7


def is_ready(cluster: Path) -> bool:
    """Whether the server that was started on it accepts connections; a stale answer was cleared before."""
    try:
        lines = (cluster / "postmaster.pid").read_text(encoding="utf-8").splitlines()
    except OSError:
        return False
    return len(lines) > _READY_LINE and lines[_READY_LINE].strip() == "ready"


def check_cluster(cluster: Path, data_dir: Path, major: str) -> None:
    """Make sure that this version can open the cluster of `data_dir`.

    Raises:
        DataDirCorrupt: it does not say what it is.
        DataDirVersion: another major version made it.
    """
    try:
        found = (cluster / "PG_VERSION").read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        raise DataDirCorrupt(data_dir, f"{cluster / 'PG_VERSION'} is missing or unreadable") from None
    if not found.isdecimal():
        raise DataDirCorrupt(data_dir, f"{cluster / 'PG_VERSION'} names no version")
    if found != major:
        raise DataDirVersion(data_dir, found=found, expected=major)


def clear_stale_pid(cluster: Path, data_dir: Path) -> None:
    """Remove a postmaster.pid whose process is gone, or is another program that was given its number since.

    Raises:
        DataDirLocked: a Postgres runs under that number.
    """
    path = cluster / "postmaster.pid"
    try:
        pid = int(path.read_bytes().split(maxsplit=1)[0])
    except FileNotFoundError:
        return
    except (ValueError, IndexError):
        pid = 0
    if pid > 0 and b"postgres" in _command_of(pid):
        raise DataDirLocked(data_dir, holder=pid)
    path.unlink()


def _command_of(pid: int) -> bytes:
    if Path("/proc/self/cmdline").exists():
        try:
            return Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            return b""
    return subprocess.run(
        ["/bin/ps", "-o", "command=", "-p", str(pid)], capture_output=True, check=False
    ).stdout
