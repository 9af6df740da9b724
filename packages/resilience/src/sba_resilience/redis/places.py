"""What a Redis URL points at: one server, a cluster, or sentinels that know the primary."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias
from urllib.parse import parse_qsl, urlencode

Address: TypeAlias = tuple[str, int]
"""Host and port."""

Kind: TypeAlias = Literal["server", "cluster", "sentinel"]

WRONG_URL: Final = (
    "the Redis URL must be redis://, rediss:// or unix://, redis+cluster://host:port,host:port or "
    "redis+sentinel://host:port,host:port/service, and hold only valid options"
)
_PORTS: Final[dict[str, int]] = {"cluster": 6379, "sentinel": 26379}
_SENTINEL_OPTIONS: Final = ("sentinel_username", "sentinel_password")


@dataclass(frozen=True, slots=True)
class Places:
    """A parsed URL.

    Attributes:
        kind: What answers at the addresses.
        addresses: Nodes of a cluster to begin with, or the sentinels; empty for one server.
        service: The name sentinels know the primary by.
        tls: Whether every connection is encrypted.
        sentinel_options: `sentinel_username` and `sentinel_password` of the query.
    """

    kind: Kind
    addresses: tuple[Address, ...] = ()
    service: str = ""
    tls: bool = False
    sentinel_options: dict[str, str] = field(default_factory=dict, repr=False)
    _login: str = field(default="", repr=False)
    _database: str = ""
    _query: str = field(default="", repr=False)

    @classmethod
    def of(cls, url: str) -> Places:
        """Parse a URL.

        Raises:
            ValueError: It is none; the message never holds the URL.
        """
        scheme, _, rest = url.partition("://")
        secure, plus, kind = scheme.lower().partition("+")
        if not plus:
            return cls("server")
        if secure not in ("redis", "rediss") or kind not in ("cluster", "sentinel"):
            raise ValueError(WRONG_URL)
        where, _, query = rest.partition("?")
        authority, _, path = where.partition("/")
        login, at, hosts = authority.rpartition("@")
        service, _, database = path.partition("/") if kind == "sentinel" else ("", "", path)
        options = dict(parse_qsl(query))
        places = cls(
            kind="cluster" if kind == "cluster" else "sentinel",
            addresses=tuple(address_of(host, _PORTS[kind]) for host in hosts.split(",")),
            service=service,
            tls=secure == "rediss",
            sentinel_options={name: options.pop(name) for name in _SENTINEL_OPTIONS if name in options},
            _login=login + at,
            _database=database,
            _query=urlencode(options),
        )
        places._check()
        return places

    def url_of(self, address: Address) -> str:
        """The URL of one Redis server of these places, with the login, database and options given."""
        return self._url(self._login, address, self._database)

    def sentinel_url_of(self, address: Address, login: str) -> str:
        """The URL of one sentinel.

        Args:
            address: Where it listens.
            login: `user:password@`, percent-encoded, or nothing.
        """
        return self._url(login, address, "")

    def _url(self, login: str, address: Address, database: str) -> str:
        scheme = "rediss" if self.tls else "redis"
        query = f"?{self._query}" if self._query else ""
        return f"{scheme}://{login}{spelled(address)}/{database}{query}"

    def _check(self) -> None:
        named = bool(self.service) == (self.kind == "sentinel")
        numbered = self._database.isdecimal() or not self._database
        lost = self.kind == "cluster" and self._database not in ("", "0")
        if not named or not numbered or lost:
            raise ValueError(WRONG_URL)


def address_of(text: str, default_port: int = 0) -> Address:
    """Host and port of `host:port` or `[host]:port`.

    Raises:
        ValueError: It is none; the message never holds the text.
    """
    host, colon, port = text.rpartition(":")
    if not colon or text.endswith("]"):
        host, port = text, str(default_port)
    bare = host.removeprefix("[").removesuffix("]")
    if not bare or not port.isdecimal():
        raise ValueError(WRONG_URL)
    return bare, int(port)


def spelled(address: Address) -> str:
    """`host:port`, an IPv6 host in brackets."""
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
