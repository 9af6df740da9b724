"""The files below some paths, and what is there but cannot be read."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from fnmatch import fnmatch
from pathlib import Path

Tell = Callable[[str, str], None]


class Walk:
    """Finds files; links are not followed, except the paths that are given.

    Args:
        exclude: patterns of paths to leave out, matched against the path as it is reported.
        tell: told a path and why it is not read.
    """

    def __init__(self, *, exclude: tuple[str, ...], tell: Tell) -> None:
        self._exclude = exclude
        self._tell = tell
        self._roots: tuple[str, ...] = ()

    def files(self, paths: tuple[Path, ...]) -> Iterator[Path]:
        """Every regular file at or below the paths, in order, each once."""
        self._roots = tuple(os.path.realpath(path) for path in paths)
        seen: set[str] = set()
        for path in paths:
            for file in self._below(path, Path(os.path.realpath(path))):
                real = os.path.realpath(file)
                if real not in seen:
                    seen.add(real)
                    yield file

    def _below(self, path: Path, real: Path) -> Iterator[Path]:
        if any(fnmatch(path.as_posix(), pattern) for pattern in self._exclude):
            return
        try:
            mode = real.lstat().st_mode
            entries = sorted(os.listdir(real)) if stat.S_ISDIR(mode) else []
        except OSError as error:
            self._tell(path.as_posix(), f"cannot be read: {error.strerror}")
            return
        if stat.S_ISREG(mode):
            yield path
        elif stat.S_ISLNK(mode):
            self._linked(path)
        elif not stat.S_ISDIR(mode):
            self._tell(path.as_posix(), "neither a file nor a folder")
        for name in entries:
            yield from self._below(path / name, path / name)

    def _linked(self, path: Path) -> None:
        """Tell of a link that leads out of what is looked at, or nowhere."""
        target = os.path.realpath(path)
        inside = any(target == root or target.startswith(root.rstrip("/") + "/") for root in self._roots)
        if not inside:
            self._tell(path.as_posix(), "a link that leads out of what is scanned")
        elif not os.path.exists(target):
            self._tell(path.as_posix(), "a link that leads nowhere")
