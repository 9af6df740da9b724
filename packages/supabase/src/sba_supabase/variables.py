"""Types of the variables that services share: addresses, origins, networks and the level of logs.

A value that breaks its rule is refused by `load_settings`; no rule repeats any part of it.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Annotated, Final, Literal
from urllib.parse import SplitResult, parse_qs, urlsplit

from pydantic import AfterValidator, BeforeValidator, SecretStr
from pydantic_settings import NoDecode

__all__ = ["LogLevel", "Network", "Networks", "Origins", "PostgresUrl", "RedisUrl", "WebUrl"]

_ORIGIN: Final = re.compile(r"https?://([a-z0-9-]+(\.[a-z0-9-]+)*|\[[0-9a-f:]+\])(:[0-9]{1,5})?")
_NOT_IN_A_URL: Final = re.compile(r"[\s\x00-\x1f\x7f]|%(?![0-9A-Fa-f]{2})|%00")
_PLACE: Final = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[^\[\]:@]*)(:(?P<port>[0-9]{0,9}))?")
_LAST_PORT: Final = 65_535

_POSTGRES_RULE = "must be a postgresql:// address with a host and no port but 1 to 65535"
_REDIS_RULE = "must be a redis:// or rediss:// address with a host and no port but 1 to 65535"
_WEB_RULE = "must be an http:// or https:// address without a password, with no port but 1 to 65535"
_ORIGIN_RULE = "must be exact origins such as https://app.example.com, separated by commas"


def _parts(value: str, schemes: tuple[str, ...]) -> SplitResult | None:
    """The parts of an address of one of these schemes, or None."""
    if _NOT_IN_A_URL.search(value):
        return None
    try:
        parts = urlsplit(value)
    except ValueError:
        return None
    return parts if parts.scheme in schemes else None


def _is_place(place: str, *, named: bool = False) -> bool:
    """Whether `place` is a host, unless it is named elsewhere, and a possible port."""
    found = _PLACE.fullmatch(place)
    if found is None:
        return False
    host, port = found.group("host"), found.group("port")
    return (named or bool(host)) and (not port or 0 < int(port) <= _LAST_PORT)


def _is_port(text: str) -> bool:
    return _is_place(f":{text}", named=True)


def _is_libpq(parts: SplitResult) -> bool:
    """Whether libpq finds a host, one or several in the address or in `?host=`, and only good ports."""
    query = parse_qs(parts.query)
    places = parts.netloc.rpartition("@")[2].split(",")
    ports = ",".join(query.get("port", ["1"])).split(",")
    named = "host" in query
    return all(_is_place(place, named=named) for place in places) and all(map(_is_port, ports))


def _postgres(value: SecretStr) -> SecretStr:
    parts = _parts(value.get_secret_value(), ("postgresql", "postgres"))
    if parts is None or not _is_libpq(parts):
        raise ValueError(_POSTGRES_RULE)
    return value


def _redis(value: SecretStr) -> SecretStr:
    parts = _parts(value.get_secret_value(), ("redis", "rediss"))
    if parts is None or not _is_place(parts.netloc.rpartition("@")[2]):
        raise ValueError(_REDIS_RULE)
    return value


def _web(value: str) -> str:
    parts = _parts(value, ("http", "https"))
    if parts is None or "@" in parts.netloc or not _is_place(parts.netloc):
        raise ValueError(_WEB_RULE)
    return value.rstrip("/")


def _origin(value: str) -> str:
    if not _ORIGIN.fullmatch(value) or not _is_place(urlsplit(value).netloc):
        raise ValueError(_ORIGIN_RULE)
    return value


def _network(value: object) -> object:
    return ip_network(value) if isinstance(value, str) else value


def _split(value: object) -> object:
    if not isinstance(value, str):
        return value
    return tuple(part.strip() for part in value.split(",") if part.strip())


LogLevel = Literal["DEBUG", "INFO", "WARNING", "ERROR"]
Network = IPv4Network | IPv6Network
PostgresUrl = Annotated[SecretStr, AfterValidator(_postgres)]
RedisUrl = Annotated[SecretStr, AfterValidator(_redis)]
WebUrl = Annotated[str, AfterValidator(_web)]
Origins = Annotated[tuple[Annotated[str, AfterValidator(_origin)], ...], NoDecode, BeforeValidator(_split)]
Networks = Annotated[
    tuple[Annotated[Network, BeforeValidator(_network)], ...], NoDecode, BeforeValidator(_split)
]
