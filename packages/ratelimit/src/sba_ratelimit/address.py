"""Who is really calling, behind proxies of ours."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any, Final, TypeAlias

Network: TypeAlias = IPv4Network | IPv6Network
Address: TypeAlias = IPv4Address | IPv6Address

UNKNOWN: Final = "unknown"
IPV6_PREFIX: Final = 64  # what one customer has; a single address would be free to change
LONGEST_CHAIN: Final = 20  # hops looked at; no deployment has as many proxies of its own
LONGEST_HOP: Final = 80  # characters of an address with its zone, brackets and port


def client_address(
    scope: Mapping[str, Any], trusted: Sequence[Network], *, trust_nameless: bool = False
) -> str:
    """The nearest address that no proxy of ours has written.

    `X-Forwarded-For` is read from the right, and only past addresses in `trusted`: what a client puts
    in front of it is never reached. Several header lines are one list. An entry that is no address, such
    as `unknown` or one more than 80 characters long, ends the search at the proxy that wrote it, as do
    twenty hops: the work is bounded whatever is sent. `Forwarded`, `X-Real-IP` and the like are never
    read: which of them a proxy replaces, and which it passes on from the client, cannot be known here.

    Args:
        scope: An ASGI scope.
        trusted: Networks of our own proxies; none means that the peer is the client.
        trust_nameless: A peer without an address, as on a Unix socket, is a proxy of ours too. Only where
            nothing but that proxy can open the socket.

    Returns:
        An IPv4 address, an IPv6 network of 64 bits, or `unknown` when the server names no peer address.
    """
    host = str((scope.get("client") or ("",))[0])
    address = _parse(host)
    if trust_nameless if not host else address is not None and _is_in(address, trusted):
        address = _behind(address, scope, trusted)
    return UNKNOWN if address is None else _grouped(address)


def _behind(address: Address | None, scope: Mapping[str, Any], trusted: Sequence[Network]) -> Address | None:
    for hop, _ in zip(_hops_from_the_right(scope), range(LONGEST_CHAIN), strict=False):
        before = _parse(hop)
        if before is None:
            break
        address = before
        if not _is_in(address, trusted):
            break
    return address


def _hops_from_the_right(scope: Mapping[str, Any]) -> Iterator[str]:
    headers: Sequence[tuple[bytes, bytes]] = scope.get("headers", ())
    for name, value in reversed(list(headers)):
        if name.lower() == b"x-forwarded-for":
            for hop in reversed(value.rsplit(b",", LONGEST_CHAIN)):
                yield hop[: LONGEST_HOP + 1].decode("latin-1")


@lru_cache(maxsize=4_096)
def _parse(text: str) -> Address | None:
    if len(text) > LONGEST_HOP:
        return None
    try:
        address = ip_address(_without_port(text.strip(" \t")))
    except ValueError:
        return None
    if isinstance(address, IPv6Address):
        return address.ipv4_mapped or IPv6Address(int(address))
    return address


def _without_port(text: str) -> str:
    if text.startswith("["):
        inside, closing, after = text[1:].partition("]")
        return inside if closing and ":" in inside and _is_port(after) else ""
    if text.count(":") == 1:
        host, _, port = text.partition(":")
        return host if _is_port(f":{port}") else ""
    return text


def _is_port(text: str) -> bool:
    return not text or (text.startswith(":") and text[1:].isascii() and text[1:].isdigit())


def _is_in(address: Address, networks: Sequence[Network]) -> bool:
    return any(address in network for network in networks)


def _grouped(address: Address) -> str:
    if isinstance(address, IPv4Address):
        return str(address)
    return str(ip_network((int(address), IPV6_PREFIX), strict=False))
