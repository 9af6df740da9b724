"""A data directory of ours: private files in it, and the two locks that say who is using it.

The launcher's lock belongs to the process that started the server; the server's lock belongs to its keeper
and so lasts exactly as long as the server. Launcher's lock taken: somebody is using the directory. Only the
server's lock taken: that somebody is gone and the server is on its way out, so waiting is right.
"""

import errno
import fcntl
import os
import secrets
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from sba_local.errors import DataDirLocked, DataDirUnusable

_PAUSE = 0.02
_LAUNCHER = "launcher.lock"
_SERVER = "server.lock"


def wait_until(
    condition: Callable[[], bool], *, seconds: float, clock: Callable[[], float] = time.monotonic
) -> bool:
    """Look at `condition` until it holds (True) or `seconds` have passed (False)."""
    end = clock() + seconds
    while not condition():
        if clock() >= end:
            return False
        time.sleep(_PAUSE)
    return True


def make_directory(path: Path, *, mode: int = 0o700) -> Path:
    """Make `path` with its parents, set its `mode`, and return it absolute.

    Raises:
        DataDirUnusable: it may not be made, is a file, or holds somebody else's files.
    """
    path = Path(os.path.abspath(path))
    try:
        path.mkdir(mode=mode, parents=True, exist_ok=True)
        strange = any(path.iterdir()) and not (path / _LAUNCHER).exists()
        if not strange:
            path.chmod(mode)
    except OSError as error:
        raise DataDirUnusable(path, f"{path} cannot be used as a data directory: {error.strerror}") from error
    if strange:
        raise DataDirUnusable(
            path, f"{path} holds files that are not ours: choose an empty or a new directory"
        )
    return path


def throwaway_directory(name: str) -> Path:
    """A fresh private directory for data that nobody will miss."""
    return Path(tempfile.mkdtemp(prefix=f"sba-{name}-"))


def write_private(path: Path, text: str) -> None:
    """Write `text` to `path` as a whole or not at all, readable by its owner alone."""
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        stream.write(text)
    partial.replace(path)


def private_text(path: Path, make: Callable[[], str]) -> str:
    """The text kept in `path`, made and written 0600 the first time."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        text = make()
        write_private(path, text)
        return text


def open_log(path: Path) -> int:
    """A descriptor to append to the private log `path`; the log of the start before is kept beside it."""
    if path.exists():
        path.replace(path.with_name(f"{path.name}.1"))
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)


def last_lines(path: Path, count: int = 20) -> str:
    """The last `count` lines of a log, empty if there is none."""
    try:
        text = path.read_bytes()[-65536:].decode(errors="replace")
    except OSError:
        return ""
    return "\n".join(text.splitlines()[-count:])


class DirectoryLock:
    """Both locks of one directory.

    Args:
        directory: the data directory; must exist.
        patience: seconds to wait for a server whose launcher is gone.
    """

    def __init__(self, directory: Path, *, patience: float = 20.0) -> None:
        self._directory = directory
        self._patience = patience
        self._launcher: int | None = None
        self._server: int | None = None

    def acquire(self) -> None:
        """Take both.

        Raises:
            DataDirLocked: somebody else is using the directory.
        """
        self._launcher = self._take(_LAUNCHER, seconds=0)
        try:
            self._server = self._take(_SERVER, seconds=self._patience)
        except DataDirLocked:
            self.release()
            raise
        os.truncate(self._launcher, 0)
        os.pwrite(self._launcher, str(os.getpid()).encode(), 0)

    @property
    def server(self) -> int:
        """Descriptor for the server's keeper to hold.

        Raises:
            RuntimeError: not acquired.
        """
        if self._server is None:
            raise RuntimeError("the directory is not locked")
        return self._server

    def release(self) -> None:
        """Let go of both; the keeper's share of the server's lock stays with the keeper."""
        for descriptor in (self._server, self._launcher):
            if descriptor is not None:
                os.close(descriptor)
        self._server = self._launcher = None

    def _take(self, name: str, *, seconds: float) -> int:
        path = self._directory / name
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise DataDirUnusable(
                self._directory, f"{self._directory} cannot be written to: {error.strerror}"
            ) from error
        if wait_until(lambda: _try_lock(descriptor), seconds=seconds):
            return descriptor
        os.close(descriptor)
        raise DataDirLocked(self._directory, holder=_holder(self._directory / _LAUNCHER))


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            return False
        raise
    return True


def _holder(path: Path) -> int | None:
    try:
        return int(path.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None
