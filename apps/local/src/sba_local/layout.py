"""What lies where in a stack's data directory, and what the stack tells others about itself."""

import hashlib
import hmac
import json
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from sba_local.directory import private_text, write_private
from sba_local.errors import DataDirCorrupt, StackNotFound
from sba_local.ports import LOOPBACK, free_port, free_range, is_free

DEFAULT_DATA_DIR = Path(".sba") / "data"
DEFAULT_PORT_BASE = 8700
DATABASE = "sba"

_ADDRESSES = ("SBA_API_URL", "SBA_WS_URL", "SUPABASE_URL", "SBA_DATABASE_URL", "REDIS_URL")
_ENV = "env"
_ADMIN = "admin-url"


@dataclass(frozen=True, slots=True)
class Ports:
    """Ports of a stack, in the order in which they follow a base."""

    api: int
    ws: int
    supabase: int
    postgres: int
    valkey: int

    @classmethod
    def from_base(cls, base: int) -> Self:
        """The ports from `base` on."""
        return cls(*range(base, base + len(fields(cls))))

    @classmethod
    def next_free(cls) -> Self:
        """The first free ports in a row from the default base on.

        Raises:
            OSError: none.
        """
        return cls.from_base(free_range(DEFAULT_PORT_BASE, len(fields(cls))))

    @classmethod
    def anywhere(cls) -> Self:
        """Any ports that are free now."""
        found: set[int] = set()
        while len(found) < len(fields(cls)):
            found.add(free_port())
        return cls(*found)

    @classmethod
    def of_last_time(cls, data_dir: Path) -> Self | None:
        """Those the stack in `data_dir` had, whose tokens name one of them; None when that cannot be told."""
        try:
            environment = read_environment(data_dir)
            found = [urlsplit(environment[name]).port for name in _ADDRESSES]
        except (StackNotFound, KeyError, ValueError):
            return None
        ports = [port for port in found if port]
        return cls(*ports) if len(set(ports)) == len(_ADDRESSES) else None

    def taken(self) -> tuple[str, int] | None:
        """The first of them that somebody listens on, with what it is for."""
        return next(((name, port) for name, port in asdict(self).items() if not is_free(port)), None)


@dataclass(frozen=True, slots=True)
class Secrets:
    """What is made up at a stack's first start."""

    migrator: str = field(repr=False)
    app: str = field(repr=False)
    worker: str = field(repr=False)
    anon_key: str = field(repr=False)
    service_key: str = field(repr=False)

    @classmethod
    def load(cls, data_dir: Path) -> Self:
        """Those kept in `data_dir`, made the first time.

        Raises:
            DataDirCorrupt: the file there does not hold them.
        """
        path = data_dir / "secrets.json"
        try:
            return cls(**json.loads(private_text(path, _new_secrets)))
        except (ValueError, TypeError):
            raise DataDirCorrupt(data_dir, f"{path} does not hold the stack's secrets") from None

    @property
    def user_password(self) -> str:
        """What ada and gita sign in with: another one on every stack."""
        made = hmac.new(self.service_key.encode(), b"password of the first users", hashlib.sha256)
        return made.hexdigest()[:24]


def _new_secrets() -> str:
    names = ("migrator", "app", "worker")
    made = {name: secrets.token_urlsafe(24) for name in names}
    made["anon_key"] = f"sb_publishable_{secrets.token_urlsafe(24)}"
    made["service_key"] = f"sb_secret_{secrets.token_urlsafe(24)}"
    return json.dumps(made)


def http_url(port: int) -> str:
    """Address of a service on this machine."""
    return f"http://{LOOPBACK}:{port}"


def write_environment(data_dir: Path, environment: Mapping[str, str], *, admin_url: str) -> None:
    """Write `env`, for whoever it is shown to, and beside it the superuser's DSN, for our own commands."""
    write_private(data_dir / _ENV, "".join(f"{name}={value}\n" for name, value in environment.items()))
    write_private(data_dir / _ADMIN, admin_url)


def read_environment(data_dir: Path) -> dict[str, str]:
    """What `write_environment` wrote.

    Raises:
        StackNotFound: nothing.
    """
    lines = _read(data_dir, _ENV).splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line)


def read_admin_url(data_dir: Path) -> str:
    """The superuser's DSN.

    Raises:
        StackNotFound: nothing was started there.
    """
    return _read(data_dir, _ADMIN)


def _read(data_dir: Path, name: str) -> str:
    try:
        return (data_dir / name).read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        raise StackNotFound(data_dir) from None
