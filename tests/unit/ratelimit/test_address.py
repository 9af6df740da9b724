"""The client's address behind proxies, whatever the client writes."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv6Address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sba_ratelimit import client_address
from sba_ratelimit.address import LONGEST_CHAIN

TRUSTED = [ip_network("10.0.0.0/8"), ip_network("fd00::/8")]
PEER = "10.0.0.1"


def scope(peer: str | None, *forwarded: str, more: tuple[tuple[bytes, bytes], ...] = ()) -> dict[str, object]:
    lines = [(b"X-Forwarded-For", value.encode("latin-1")) for value in forwarded]
    return {"client": (peer, 1234) if peer is not None else None, "headers": [*more, *lines]}


@pytest.mark.parametrize(
    ("peer", "forwarded", "expected"),
    [
        ("198.51.100.7", [], "198.51.100.7"),
        ("198.51.100.7", ["203.0.113.9"], "198.51.100.7"),
        (PEER, [], PEER),
        (PEER, ["203.0.113.9"], "203.0.113.9"),
        (PEER, ["1.1.1.1, 203.0.113.9"], "203.0.113.9"),
        (PEER, ["1.1.1.1, 203.0.113.9, 10.9.9.9"], "203.0.113.9"),
        (PEER, ["1.1.1.1", "203.0.113.9"], "203.0.113.9"),
        (PEER, ["1.1.1.1", "203.0.113.9", "10.9.9.9, 10.9.9.8"], "203.0.113.9"),
        (PEER, ["10.2.2.2, 10.3.3.3"], "10.2.2.2"),
        (PEER, ["203.0.113.9:4711"], "203.0.113.9"),
        (PEER, ["[2001:db8::1]:4711"], "2001:db8::/64"),
        (PEER, ["[2001:db8::1]"], "2001:db8::/64"),
        (PEER, ["2001:db8:0:1:2:3:4:5"], "2001:db8:0:1::/64"),
        (PEER, ["::ffff:203.0.113.9"], "203.0.113.9"),
        (PEER, ["[::ffff:203.0.113.9]:80"], "203.0.113.9"),
        (PEER, ["2001:db8::1%eth0"], "2001:db8::/64"),
        (PEER, ["203.0.113.9, unknown"], PEER),
        (PEER, ["203.0.113.9, _hidden"], PEER),
        (PEER, ["203.0.113.9,"], PEER),
        (PEER, ["203.0.113.9", ""], PEER),
        (PEER, ["[203.0.113.9]:80"], PEER),
        (PEER, ["203.0.113.9:port"], PEER),
        (PEER, ["203.0.113.9:"], PEER),
        (PEER, ["[2001:db8::1]x"], PEER),
        (PEER, ["010.0.0.9"], PEER),
        (PEER, ["203.0.113.9\x00"], PEER),
        (PEER, ["203.0.113.\xb2"], PEER),
        ("fd00::1", ["203.0.113.9"], "203.0.113.9"),
        ("::ffff:10.0.0.1", ["203.0.113.9"], "203.0.113.9"),
        ("::ffff:198.51.100.7", [], "198.51.100.7"),
        ("fe80::1%eth0", [], "fe80::/64"),
        ("testclient", ["203.0.113.9"], "unknown"),
        (None, ["203.0.113.9"], "unknown"),
    ],
)
def test_the_nearest_address_no_proxy_of_ours_wrote(
    peer: str | None, forwarded: list[str], expected: str
) -> None:
    assert client_address(scope(peer, *forwarded), TRUSTED) == expected


@pytest.mark.parametrize(
    "name", [b"forwarded", b"x-real-ip", b"true-client-ip", b"cf-connecting-ip", b"x-forwarded-for2"]
)
def test_no_other_header_is_ever_believed(name: bytes) -> None:
    forged = ((name, b"for=1.1.1.1"), (name, b"1.1.1.1"))
    assert client_address(scope(PEER, "203.0.113.9", more=forged), TRUSTED) == "203.0.113.9"
    assert client_address(scope(PEER, more=forged), TRUSTED) == PEER


@given(st.text(alphabet=st.characters(max_codepoint=255), max_size=80))
def test_a_client_that_reaches_us_directly_cannot_choose_its_address(written: str) -> None:
    assert client_address(scope("198.51.100.7", written), TRUSTED) == "198.51.100.7"
    assert client_address(scope("198.51.100.7", written), []) == "198.51.100.7"


OURS = st.sampled_from(["10.1.2.3", "fd00::9", "::ffff:10.0.0.1", "[fd00::8]:443", "10.9.9.9:80"])
ADDRESS = st.ip_addresses().map(str)
JUNK = st.text(alphabet=st.characters(max_codepoint=255), max_size=40)
HOP = OURS | ADDRESS | JUNK
LINES = st.lists(st.lists(HOP, max_size=6).map(", ".join), max_size=4)
CLIENT = st.ip_addresses().filter(lambda found: not any(found in network for network in TRUSTED))
PADDING = st.sampled_from(["", " ", "\t", "  "])


def grouped(address: str) -> str:
    return client_address({"client": (address, 1)}, [])


HONEST = st.tuples(CLIENT, st.lists(OURS, max_size=LONGEST_CHAIN - 1), PADDING, st.sampled_from([",", "\n"]))


@given(LINES, JUNK, HONEST)
def test_nothing_left_of_the_first_untrusted_hop_has_any_influence(
    written: list[str], before: str, appended: tuple[object, list[str], str, str]
) -> None:
    client, proxies, padding, between = appended
    honest = between.join(f"{padding}{hop}{padding}" for hop in (str(client), *proxies))
    lines = f"{before.replace(between, '')},{honest}".split("\n")
    assert client_address(scope(PEER, *written, *lines), TRUSTED) == grouped(str(client))


@given(LINES, st.sampled_from(["unknown", "", "_x", "1.2.3", "999.1.1.1", "a" * 200, "[::1", "1.1.1.1:x"]))
def test_an_entry_that_is_no_address_ends_the_search_at_who_wrote_it(written: list[str], entry: str) -> None:
    assert client_address(scope(PEER, *written, f"{entry}, 10.4.4.4"), TRUSTED) == "10.4.4.4"


@given(LINES)
def test_any_header_gives_an_address_or_network(written: list[str]) -> None:
    found = client_address(scope(PEER, *written), TRUSTED)
    assert ip_network(found).prefixlen in (32, 64)


@given(st.integers(1, 2**64 - 1), st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1))
def test_a_customer_cannot_leave_its_network_by_changing_address(network: int, one: int, other: int) -> None:
    assert len({grouped(str(IPv6Address((network << 64) | host))) for host in (one, other)}) == 1


def test_the_work_is_bounded_however_long_the_header_is() -> None:
    class Counted(list[object]):
        looked = 0

        def __iter__(self) -> Iterator[object]:
            type(self).looked += 1
            return super().__iter__()

    trusted = Counted(TRUSTED)
    endless = ", ".join(["10.1.1.1"] * 100_000)
    assert client_address(scope(PEER, "1.1.1.1", endless), trusted) == "10.1.1.1"
    assert Counted.looked <= LONGEST_CHAIN + 2
    assert client_address(scope(PEER, "1" * 1_000_000), TRUSTED) == PEER


def test_the_search_goes_through_no_more_hops_than_it_says() -> None:
    chain = ["203.0.113.9", *["10.1.1.1"] * (LONGEST_CHAIN - 1)]
    assert client_address(scope(PEER, ",".join(chain)), TRUSTED) == "203.0.113.9"
    assert (
        client_address(scope(PEER, ",".join(["203.0.113.9", *chain[1:], "10.2.2.2"])), TRUSTED) == "10.1.1.1"
    )


@pytest.mark.parametrize(
    ("forwarded", "expected"),
    [
        (["203.0.113.9"], "203.0.113.9"),
        (["1.1.1.1, 203.0.113.9, 10.9.9.9"], "203.0.113.9"),
        (["2001:db8::1"], "2001:db8::/64"),
        (["203.0.113.9, unknown"], "unknown"),
        ([], "unknown"),
    ],
)
@pytest.mark.parametrize("peer", [None, ""])
def test_a_peer_without_an_address_is_a_proxy_of_ours_only_when_we_say_so(
    peer: str | None, forwarded: list[str], expected: str
) -> None:
    behind = scope(peer, *forwarded)
    assert client_address(behind, TRUSTED, trust_nameless=True) == expected
    assert client_address(behind, [ip_network("0.0.0.0/0")]) == "unknown"


def test_trusting_a_peer_without_an_address_trusts_no_other() -> None:
    assert client_address(scope("198.51.100.7", "203.0.113.9"), (), trust_nameless=True) == "198.51.100.7"
    assert client_address(scope("testclient", "203.0.113.9"), (), trust_nameless=True) == "unknown"
    assert client_address(scope(None, "203.0.113.9, 10.9.9.9"), (), trust_nameless=True) == "10.9.9.9"
