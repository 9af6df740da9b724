"""Who is really calling, behind proxies of ours."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any, TypeAlias

Network: TypeAlias = IPv4Network | IPv6Network
Address: TypeAlias = IPv4Address | IPv6Address

UNKNOWN = "unknown"
IPV6_PREFIX = 64  # what one customer has; a single address would be free to change


def client_address(scope: Mapping[str, Any], trusted: Sequence[Network]) -> str:
    """The nearest address that no proxy of ours has written.

    `X-Forwarded-For` is read from the right, and only past addresses in `trusted`: what a client puts
    in front of it is never reached.

    Args:
        scope: An ASGI scope.
        trusted: Networks of our own proxies; none means that the peer is the client.

    Returns:
        An IPv4 address, an IPv6 network of 64 bits, or `unknown` when the server names no peer address.
    """
    client = scope.get("client")
    address = _parse(str(client[0])) if client else None
    if address is None:
        return UNKNOWN
    for hop in _hops_from_the_right(scope):
        if not _is_in(address, trusted):
            break
        before = _parse(hop)
        if before is None:
            break
        address = before
    return _grouped(address)


def _hops_from_the_right(scope: Mapping[str, Any]) -> Iterator[str]:
    headers: Sequence[tuple[bytes, bytes]] = scope.get("headers", ())
    for name, value in reversed(list(headers)):
        if name.lower() == b"x-forwarded-for":
            yield from reversed(value.decode("latin-1").split(","))


def _parse(text: str) -> Address | None:
    try:
        address = ip_address(_without_port(text.strip()))
    except ValueError:
        return None
    if isinstance(address, IPv6Address):
        return address.ipv4_mapped or address
    return address


def _without_port(text: str) -> str:
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text.partition(":")[0] if text.count(":") == 1 else text


def _is_in(address: Address, networks: Sequence[Network]) -> bool:
    return any(address in network for network in networks)


def _grouped(address: Address) -> str:
    if isinstance(address, IPv4Address):
        return str(address)
    return str(ip_network((int(address), IPV6_PREFIX), strict=False))
