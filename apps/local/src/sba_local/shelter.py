"""A place for a Postgres cluster that the user it runs as can reach.

Root's directories are often closed to everyone else (a 0700 home, a private temporary directory), and
Postgres does not run as root. Then the cluster lives under a directory only root can write to, with a link to
it in the data directory; it is deleted a day after its last start if that link is gone.
"""

import fcntl
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sba_local.binaries import can_enter, state_directory
from sba_local.process import Account

_ORIGIN = "origin.json"
_GRACE = 24 * 3600.0


def cluster_home(data_dir: Path, account: Account | None) -> Path:
    """The directory that holds, or is to hold, the cluster of `data_dir`; `account` can enter it.

    Raises:
        DataDirUnusable: there is no such place.
    """
    link = data_dir / "home"
    if link.is_dir():
        _note_origin(link.resolve(), link)
        return link.resolve()
    if account is None or can_enter(data_dir, account):
        return data_dir
    state = state_directory(data_dir)
    with _only_one(state) as lock:
        _forget_orphans(state, now=lock.stat().st_mtime)
        return _new_home(state, link)


def _new_home(state: Path, link: Path) -> Path:
    home = state / secrets.token_hex(8)
    home.mkdir()
    home.chmod(0o711)
    _note_origin(home, link)
    link.unlink(missing_ok=True)
    link.symlink_to(home)
    return home


def _note_origin(home: Path, link: Path) -> None:
    origin = {"link": os.fspath(link), "device": link.parent.stat().st_dev}
    (home / _ORIGIN).write_text(json.dumps(origin), encoding="utf-8")


@contextmanager
def _only_one(state: Path) -> Iterator[Path]:
    """Keep others out; yields the lock file, whose modification time is now."""
    path = state / "lock"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        os.utime(descriptor)
        yield path
    finally:
        os.close(descriptor)


def _forget_orphans(state: Path, *, now: float) -> None:
    for marker in state.glob(f"*/{_ORIGIN}"):
        if now - marker.stat().st_mtime > _GRACE and _is_orphan(marker):
            shutil.rmtree(marker.parent, ignore_errors=True)


def _is_orphan(marker: Path) -> bool:
    """Whether the link is gone though its file system is there: an unmounted disk is no reason to delete."""
    try:
        origin = json.loads(marker.read_text(encoding="utf-8"))
        link, device = Path(origin["link"]), origin["device"]
    except (OSError, ValueError, KeyError):
        return False
    if link.is_symlink():
        return link.resolve() != marker.parent.resolve()
    nearest = next(parent for parent in link.parents if parent.exists())
    return bool(nearest.stat().st_dev == device)
