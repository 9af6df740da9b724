"""What the two engines have in common: a directory, its locks, a port, a password and a kept process."""

import os
import shutil
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self

from sba_local.binaries import require_supported_platform
from sba_local.directory import (
    DirectoryLock,
    last_lines,
    make_directory,
    open_log,
    throwaway_directory,
    wait_until,
)
from sba_local.errors import DataDirCorrupt, EngineFailed, LocalError, PlatformUnsupported, PortTaken
from sba_local.ports import LOOPBACK, free_port, is_free
from sba_local.process import Account, Command, Ending, KeptProcess, SpawnFailed

_PORT_ATTEMPTS = 5
_ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "TZ": "UTC"}


class Engine(ABC):
    """One server that ends with its owner.

    Args:
        data_dir: where its data is kept; None for a throw-away in the temporary directory.
        port: to listen on; a free one when None.
        password: of its first user; made up (and kept 0600 in the data directory) when None.
        settings: server settings by name, over ours.
        throwaway: trade durability for speed and delete the data at the end; always so without `data_dir`.
        discard: False leaves a throw-away's data to be deleted by somebody else.
        start_timeout: seconds it may take to get ready, recovery included.
        hold: descriptors its keeper holds until it has ended.

    Attributes:
        host: address it listens on.
    """

    host: ClassVar[str] = LOOPBACK
    name: ClassVar[str]
    ending: ClassVar[Ending]
    damage: ClassVar[Sequence[str]]

    def __init__(
        self,
        data_dir: Path | None = None,
        *,
        port: int | None = None,
        password: str | None = None,
        settings: Mapping[str, str] | None = None,
        throwaway: bool = False,
        discard: bool = True,
        start_timeout: float = 60.0,
        hold: Sequence[int] = (),
    ) -> None:
        self._given_dir = data_dir
        self._given_port = port
        self._given_password = password
        self._given_settings = dict(settings or {})
        self._throwaway = throwaway or data_dir is None
        self._discarded = self._throwaway and discard
        self._start_timeout = start_timeout
        self._hold = hold
        self._data_dir = data_dir or Path()
        self._port = 0
        self._password = ""
        self._lock: DirectoryLock | None = None
        self._process: KeptProcess | None = None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self._given_dir)!r}, port={self._port or self._given_port})"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def data_dir(self) -> Path:
        """The data directory in use."""
        return self._data_dir

    @property
    def log(self) -> Path:
        """The server's log; the one of the start before lies beside it, ending in `.1`."""
        return self._data_dir / f"{self.name.lower()}.log"

    @property
    def port(self) -> int:
        """Port it listens on.

        Raises:
            RuntimeError: it has not been started.
        """
        if not self._port:
            raise RuntimeError(f"{self.name} has not been started")
        return self._port

    @property
    def password(self) -> str:
        """Password of its first user.

        Raises:
            RuntimeError: it has not been started.
        """
        if not self._password:
            raise RuntimeError(f"{self.name} has not been started")
        return self._password

    @property
    def pid(self) -> int:
        """Process id of the server.

        Raises:
            RuntimeError: it is not running.
        """
        return self.process.pid

    @property
    def process(self) -> KeptProcess:
        """The running server.

        Raises:
            RuntimeError: it is not running.
        """
        if self._process is None:
            raise RuntimeError(f"{self.name} is not running")
        return self._process

    def last_lines(self) -> str:
        """The last lines of its log."""
        return last_lines(self.log)

    def start(self) -> None:
        """Start the server and return once it can be used.

        Raises:
            LocalError: see the tree in `sba_local.errors`.
            RuntimeError: it is running already.
        """
        if self._process is not None:
            raise RuntimeError(f"{self.name} is running already")
        require_supported_platform()
        if self._given_port is not None and not is_free(self._given_port):
            raise PortTaken(self._given_port, wanted_for=self.name)
        directory = self._given_dir or throwaway_directory(self.name.lower())
        self._data_dir = make_directory(directory, mode=self._mode())
        self._lock = DirectoryLock(self._data_dir)
        self._lock.acquire()
        try:
            self._password = self._prepare()
            self._process = self._launch()
        except BaseException:
            self._release()
            self._discard()
            raise

    def restart(self) -> None:
        """Start a server that has ended by itself again: the same data, port and password.

        When that fails it has ended still, and this may be tried again.

        Raises:
            LocalError: see the tree in `sba_local.errors`.
            RuntimeError: it was never started, or has been stopped.
        """
        self.process.wait()
        self._prepare()
        self._process = self._try_launch()

    def stop(self) -> None:
        """End the server in good order and let go of its directory; without effect when it is not running."""
        if self._process is None:
            return
        self._process.stop()
        self._process = None
        self._release()

    @abstractmethod
    def _prepare(self) -> str:
        """Make the data directory ready and return the password."""

    @abstractmethod
    def _arguments(self) -> Sequence[str | Path]:
        """The server's command line for the current port."""

    @abstractmethod
    def _is_ready(self) -> bool: ...

    def _mode(self) -> int:
        return 0o700

    def _account(self) -> Account | None:
        return None

    def _belongings(self) -> set[Path]:
        return {self._data_dir}

    def _release(self) -> None:
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def _discard(self) -> None:
        if self._discarded:
            for path in self._belongings():
                shutil.rmtree(path, ignore_errors=True)

    def _launch(self) -> KeptProcess:
        attempts = 1 if self._given_port else _PORT_ATTEMPTS
        while True:
            attempts -= 1
            self._port = self._given_port or free_port()
            try:
                return self._try_launch()
            except PortTaken:
                if not attempts:
                    raise

    def _try_launch(self) -> KeptProcess:
        removable = sorted(self._belongings()) if self._discarded else []
        process = self._spawn(self._arguments(), ending=self.ending, remove=removable)
        try:
            settled = wait_until(
                lambda: process.poll() is not None or self._is_ready(), seconds=self._start_timeout
            )
        except BaseException:
            process.stop()
            raise
        log = last_lines(self.log)
        if not settled:
            process.stop()
            raise EngineFailed(self.name, f"did not get ready in {self._start_timeout:g} s", log=log)
        if process.poll() is not None:
            process.wait()
            raise self._diagnosis(log)
        return process

    def _spawn(
        self, arguments: Sequence[str | Path], *, ending: Ending, remove: Sequence[Path] = ()
    ) -> KeptProcess:
        log = open_log(self.log)
        command = Command(
            arguments,
            environment=_ENVIRONMENT,
            cwd=Path("/"),
            ending=ending,
            account=self._account(),
            remove=remove,
            hold=[*([self._lock.server] if self._lock else []), *self._hold],
        )
        try:
            return KeptProcess.start(command, stdout=log, stderr=subprocess.STDOUT)
        except SpawnFailed as error:
            raise PlatformUnsupported(f"{self.name} cannot be executed here ({error.strerror})") from error
        finally:
            os.close(log)

    def _diagnosis(self, log: str) -> LocalError:
        if "Address already in use" in log:
            return PortTaken(self._port, wanted_for=self.name)
        if any(mark in log for mark in self.damage):
            return DataDirCorrupt(self._data_dir, f"{self.name} will not start on it:\n{log}")
        return EngineFailed(self.name, "ended while starting", log=log)
