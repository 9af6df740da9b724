"""The scan of files for service keys, and for what only servers may hold."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Final

from sba_supabase.checks.allowing import Allowance, AllowList
from sba_supabase.checks.findings import Finding, Problem, Report
from sba_supabase.checks.walking import Walk
from sba_supabase.scan.containers import Leaf, Opener, uncompressed
from sba_supabase.scan.detection import Match, Seeker
from sba_supabase.scan.rules import SERVER_MODULES
from sba_supabase.scan.streams import BROKEN, CHUNK, Budget, ExhaustedError, Readable

_WINDOW: Final = 8 * CHUNK
_OVERLAP: Final = CHUNK // 8
_RATIO: Final = 20
_CLIENT: Final = frozenset(
    {".js", ".mjs", ".cjs", ".jsx", ".ts", ".tsx", ".map", ".wasm", ".bundle", ".rsc"}
    | {".html", ".htm", ".css", ".json", ".txt", ".svg", ".xml", ".webmanifest"}
)
_LONG_NAME: Final = re.compile(r"[\w+-]{24}")  # no key is shorter
_OPEN: Final = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanOptions:
    """How to scan.

    Attributes:
        exclude: patterns of paths to leave out.
        allow: findings that are allowed.
        modules: names of server modules that no client may load.
        keys_only: look for keys alone, as in the image of a server.
        unpacked_limit: bytes that one file may unpack to, or 20 times its size where that is more; the rest
            is reported as not looked at.
    """

    exclude: tuple[str, ...] = ()
    allow: tuple[Allowance, ...] = ()
    modules: tuple[str, ...] = SERVER_MODULES
    keys_only: bool = False
    unpacked_limit: int = 1 << 29


def scan(paths: Iterable[Path], options: ScanOptions | None = None) -> Report:
    """Look for service keys below some paths, and for what only servers may hold.

    Args:
        paths: files and folders.
        options: how.

    Returns:
        What was found, without the keys themselves, and what could not be looked at.
    """
    return _Scan(options or ScanOptions()).run(tuple(paths))


class _Scan:
    """One scan."""

    def __init__(self, options: ScanOptions) -> None:
        self._options = options
        self._modules = tuple(name.encode() for name in options.modules if name)
        self._problems: list[Problem] = []
        self._findings: dict[tuple[str, str, str], Finding] = {}
        self._files = 0
        self._size = 0

    def run(self, paths: tuple[Path, ...]) -> Report:
        walk = Walk(exclude=self._options.exclude, tell=self._tell)
        for file in walk.files(paths):
            self._file(file)
        allow = AllowList(self._options.allow)
        judged = sorted(allow.judged(finding) for finding in self._findings.values())
        return Report(
            findings=tuple(finding for finding in judged if finding.reason is None),
            allowed=tuple(finding for finding in judged if finding.reason is not None),
            problems=tuple(sorted(set(self._problems))),
            notes=allow.unused(),
            files=self._files,
            size=self._size,
        )

    def _tell(self, path: str, reason: str) -> None:
        self._problems.append(Problem(path, reason))

    def _file(self, file: Path) -> None:
        path = file.as_posix()
        try:
            with os.fdopen(os.open(os.path.realpath(file), _OPEN), "rb") as stream:
                size = _RATIO * os.fstat(stream.fileno()).st_size
                budget = Budget(max(self._options.unpacked_limit, size))
                for leaf in Opener(budget, self._tell).leaves(path, stream):
                    self._leaf(leaf, budget)
        except ExhaustedError:
            self._tell(path, "unpacks to more than a scan reads of one file")
        except OSError as error:
            self._tell(path, f"cannot be read: {error.strerror}")
        self._files += 1

    def _leaf(self, leaf: Leaf, budget: Budget) -> None:
        seeker = self._seeker(leaf.path, budget)
        windows = _windows(leaf.stream)
        lines = 0
        try:
            for data, fresh in windows:
                self._size += fresh
                for match in seeker.matches(data):
                    self._keep(leaf.path, match, data, lines)
                lines += data.count(b"\n", 0, len(data) - _OVERLAP) if fresh == _WINDOW else 0
        except BROKEN as error:
            self._tell(leaf.path, f"broken or cut off ({type(error).__name__})")
        self._name(leaf.path, seeker)

    def _seeker(self, path: str, budget: Budget) -> Seeker:
        name = PurePosixPath(uncompressed(path).rpartition("!")[2])
        client = name.suffix.lower() in _CLIENT and not self._options.keys_only
        modules = self._modules if client else ()
        return Seeker(modules=modules, names=client, adjacent=name.suffix == ".py", spend=budget.spend)

    def _name(self, path: str, seeker: Seeker) -> None:
        """Look for keys in the name of what clients can ask for."""
        if _LONG_NAME.search(path):
            data = path.encode(errors="surrogateescape")
            for match in replace(seeker, names=False, modules=()).matches(data):
                self._keep(path, replace(match, message=f"{match.message} in the name"), data, 0)

    def _keep(self, path: str, match: Match, data: bytes, lines: int) -> None:
        key = (path, match.rule, match.fingerprint)
        if key in self._findings:
            return
        line = lines + data.count(b"\n", 0, match.offset) + 1
        before = data[data.rfind(b"\n", 0, match.offset) + 1 : match.offset]
        column = len(before.decode(errors="replace")) + 1
        self._findings[key] = Finding(path, line, column, match.rule, match.message, match.fingerprint)


def _windows(stream: Readable) -> Iterator[tuple[bytes, int]]:
    """The stream in overlapping windows, each with the number of bytes that are new; what was read is kept.

    Raises:
        OSError, EOFError, …: what the stream raises, after all that came before it.
    """
    kept = b""
    while True:
        fresh, failure = _filled(stream)
        if fresh:
            yield kept + fresh, len(fresh)
        if failure is not None:
            raise failure
        if len(fresh) < _WINDOW:
            return
        kept = (kept + fresh)[-_OVERLAP:]


def _filled(stream: Readable) -> tuple[bytes, Exception | None]:
    """Bytes up to a window's size, and what ended them early."""
    pieces: list[bytes] = []
    left = _WINDOW
    try:
        while left and (piece := stream.read1(min(left, CHUNK))):
            pieces.append(piece)
            left -= len(piece)
    except (*BROKEN, ExhaustedError) as error:
        return b"".join(pieces), error
    return b"".join(pieces), None
