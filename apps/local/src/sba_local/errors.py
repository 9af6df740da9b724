"""What can go wrong on one machine, said so that a newcomer can act on it.

LocalError
├── PlatformUnsupported     no engine binaries for this system, machine or C library
├── PortTaken               someone else listens on the port that was asked for
├── WouldBeExposed          others than this machine could reach what is for development only
├── DataDirError            something about a data directory
│   ├── DataDirLocked       another launcher, or a server of its own, is using it
│   ├── DataDirCorrupt      it is not, or no longer, what the engine wrote
│   ├── DataDirVersion      written by another major version
│   ├── DataDirPassword     the password given is not the one it was made with, or that is lost
│   └── DataDirUnusable     it cannot be made, read or written
├── EngineFailed            an engine stopped, or never got ready
├── ServiceFailed           a service of the stack stopped, or never got ready
├── StackError              the stack cannot do what was asked
│   └── StackNotFound       there is no stack in that data directory
└── UnknownName             a tenant or user that cannot be resolved
"""

from pathlib import Path


class LocalError(Exception):
    """Base of every error of this distribution; its text is meant for the person at the terminal.

    Args:
        summary: what went wrong.
        last_lines: what the part that failed said last.

    Attributes:
        summary: the text without the last lines.
        last_lines: empty when nothing was said.
    """

    def __init__(self, summary: str, last_lines: str = "") -> None:
        self.summary = summary
        self.last_lines = last_lines
        super().__init__(summary + (f"; its last lines:\n{last_lines}" if last_lines else ""))


class PlatformUnsupported(LocalError):
    """The engines cannot run here.

    Attributes:
        reason: what is missing.
    """

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(
            f"{reason}. The embedded engines run on Linux with glibc (x86_64, aarch64) and on macOS; "
            "elsewhere (Windows, Alpine and other musl systems) point the services at a Postgres and a "
            "Redis or Valkey of your own, or use WSL 2 or a glibc container."
        )


class PortTaken(LocalError):
    """A port that was asked for is in use.

    Attributes:
        port: the port.
        wanted_for: what was to listen there.
    """

    def __init__(self, port: int, *, wanted_for: str) -> None:
        self.port = port
        self.wanted_for = wanted_for
        super().__init__(
            f"port {port} on 127.0.0.1, wanted for {wanted_for}, is taken by another program: "
            "stop that program or choose another port"
        )


class WouldBeExposed(LocalError):
    """An address that others than this machine could reach.

    Attributes:
        host: the address.
    """

    def __init__(self, host: str) -> None:
        self.host = host
        super().__init__(
            f"{host} is no loopback address, and the Supabase stand-in is for development and tests only: "
            "whoever reaches it may sign in as anybody; pass exposed=True where the network is private"
        )


class DataDirError(LocalError):
    """Something about a data directory.

    Attributes:
        path: the directory.
    """

    def __init__(self, path: Path, message: str) -> None:
        self.path = path
        super().__init__(message)


class DataDirLocked(DataDirError):
    """Another process is using the directory.

    Attributes:
        holder: process id of that process, when known.
    """

    def __init__(self, path: Path, *, holder: int | None) -> None:
        self.holder = holder
        by = "another process" if holder is None else f"process {holder}"
        super().__init__(path, f"{path} is in use by {by}: stop it, or choose another data directory")


class DataDirCorrupt(DataDirError):
    """The directory does not hold what the engine wrote.

    Attributes:
        detail: what the engine said, or what is missing.
    """

    def __init__(self, path: Path, detail: str) -> None:
        self.detail = detail
        super().__init__(
            path,
            f"{path} is damaged: {detail}\n"
            "Restore it from a copy, or delete it to start afresh (its data is lost).",
        )


class DataDirVersion(DataDirError):
    """The directory was written by another major version.

    Attributes:
        found: its version.
        expected: ours.
    """

    def __init__(self, path: Path, *, found: str, expected: str) -> None:
        self.found = found
        self.expected = expected
        super().__init__(
            path,
            f"{path} was written by version {found}, this is version {expected}: "
            "dump it with the old version, or choose another data directory",
        )


class DataDirPassword(DataDirError):
    """The password given is not the directory's, or the directory's is lost."""


class DataDirUnusable(DataDirError):
    """The directory cannot be made, read or written."""


class EngineFailed(LocalError):
    """An engine stopped or never got ready.

    Attributes:
        engine: "Postgres" or "Valkey".
        log: the last lines of its log.
    """

    def __init__(self, engine: str, message: str, *, log: str = "") -> None:
        self.engine = engine
        self.log = log
        super().__init__(f"{engine} {message}", log)


class ServiceFailed(LocalError):
    """A service of the stack stopped or never got ready.

    Attributes:
        service: its name.
        status: its exit status, None if it is still running.
        lines: the last lines it wrote.
    """

    def __init__(self, service: str, message: str, *, status: int | None, lines: str = "") -> None:
        self.service = service
        self.status = status
        self.lines = lines
        super().__init__(f"{service} {message}", lines)


class StackError(LocalError):
    """The stack cannot do what was asked."""


class StackNotFound(StackError):
    """There is no stack in that data directory.

    Attributes:
        path: the data directory.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        super().__init__(
            f"no stack has been started in {path}: run `sba-local up` first, or name it with --data-dir"
        )


class UnknownName(LocalError):
    """A tenant or user that cannot be resolved.

    Attributes:
        kind: "tenant" or "user".
        name: what was given.
    """

    def __init__(self, kind: str, name: str, message: str) -> None:
        self.kind = kind
        self.name = name
        super().__init__(f"{kind} {name!r} {message}")
