"""The client's address behind proxies, whatever the client writes."""

from __future__ import annotations

from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sba_ratelimit import client_address

TRUSTED = [ip_network("10.0.0.0/8"), ip_network("fd00::/8")]


def scope(peer: str | None, *forwarded: str) -> dict[str, object]:
    return {
        "client": (peer, 1234) if peer is not None else None,
        "headers": [(b"X-Forwarded-For", value.encode("latin-1")) for value in forwarded],
    }


@pytest.mark.parametrize(
    ("peer", "forwarded", "expected"),
    [
        ("198.51.100.7", [], "198.51.100.7"),
        ("198.51.100.7", ["203.0.113.9"], "198.51.100.7"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["203.0.113.9"], "203.0.113.9"),
        ("10.0.0.1", ["1.1.1.1, 203.0.113.9"], "203.0.113.9"),
        ("10.0.0.1", ["1.1.1.1, 203.0.113.9, 10.9.9.9"], "203.0.113.9"),
        ("10.0.0.1", ["1.1.1.1", "203.0.113.9"], "203.0.113.9"),
        ("10.0.0.1", ["203.0.113.9:4711"], "203.0.113.9"),
        ("10.0.0.1", ["[2001:db8::1]:4711"], "2001:db8::/64"),
        ("10.0.0.1", ["2001:db8:0:1:2:3:4:5"], "2001:db8:0:1::/64"),
        ("10.0.0.1", ["203.0.113.9, unknown"], "10.0.0.1"),
        ("10.0.0.1", ["203.0.113.9,"], "10.0.0.1"),
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


@given(st.text(alphabet=st.characters(max_codepoint=255), max_size=80))
def test_a_client_that_reaches_us_directly_cannot_choose_its_address(written: str) -> None:
    assert client_address(scope("198.51.100.7", written), TRUSTED) == "198.51.100.7"
    assert client_address(scope("198.51.100.7", written), []) == "198.51.100.7"


HOP = st.sampled_from(["10.1.2.3", "8.8.8.8", "fd00::9", "2001:db8::5", "::ffff:10.0.0.1"])
JUNK = st.text(alphabet="0123456789abcdef.:[],% x", max_size=30)


@given(st.lists(HOP | JUNK, max_size=8))
def test_what_stands_before_the_entry_our_proxy_appended_is_never_believed(written: list[str]) -> None:
    forwarded = ", ".join([*written, "203.0.113.9"])
    assert client_address(scope("10.0.0.1", forwarded), TRUSTED) == "203.0.113.9"


@given(st.lists(HOP | JUNK, max_size=8), st.lists(HOP | JUNK, max_size=3))
def test_any_header_gives_an_address_or_network(one: list[str], other: list[str]) -> None:
    found = client_address(scope("10.0.0.1", ",".join(one), ",".join(other)), TRUSTED)
    assert ip_network(found).prefixlen in (32, 64)
