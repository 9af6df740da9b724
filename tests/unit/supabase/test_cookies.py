"""The cookies of one request: what is read of them, and what the response changes."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sba_supabase.auth.cookies import (
    CHUNK,
    CookieJar,
    CookieOptions,
    SetCookie,
    chunks,
    cookie_name,
    decode,
    encode,
    is_chunk,
    join,
)

K = "sb-abc-auth-token"
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=3000)


def jar(cookies: dict[str, str] | None = None, **options: str) -> CookieJar:
    return CookieJar(cookies or {}, CookieOptions(**options))


def apply(cookies: dict[str, str], changes: list[SetCookie]) -> dict[str, str]:
    """What a browser has afterwards."""
    told = {cookie.name: cookie.value for cookie in changes}
    return {name: value for name, value in {**cookies, **told}.items() if value}


@given(st.lists(st.one_of(st.none(), TEXTS.map(json.dumps)), min_size=1, max_size=4))
def test_a_browser_reads_back_the_last_write_whatever_came_before(writes):
    cookies: dict[str, str] = {"other": "x", f"{K}x": "y"}
    for text in writes:
        response = jar(cookies)
        response.remove(K) if text is None else response.write(K, text)
        cookies = apply(cookies, response.changes())
        assert jar(cookies).read(K) == text
    assert (cookies["other"], cookies[f"{K}x"]) == ("x", "y")


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=2500))
def test_no_chunk_is_too_long_and_none_splits_a_character(text: str):
    parts = list(chunks("k", text))
    assert "".join(value for _, value in parts) == text
    assert all(0 < len(value) <= CHUNK for _, value in parts)


@given(st.binary(max_size=200).map(lambda data: data.decode("latin-1")))
def test_no_cookie_value_breaks_the_reader(value: str):
    jar({K: value}).read(K)
    jar({K: f"base64-{value}"}).read(K)


def test_a_lone_surrogate_is_written_as_json_escapes_it():
    assert decode(encode('"\ud800"')) == '"\\ud800"'


@pytest.mark.parametrize("value", ["base64-!!", "base64-e", "base64-eyJ", f"base64-{'W10' * 3}x", "base64-"])
def test_a_damaged_value_is_none(value: str):
    assert decode(value) is None


def test_nesting_without_end_is_damage():
    assert decode(encode("[" * 200_000)) is None


def test_values_of_older_clients_are_read_plain():
    assert decode("%7B%22a%22%3A1%7D") == '{"a":1}'
    assert decode('{"a":1}') == '{"a":1}'


def test_padding_and_line_ends_do_not_matter():
    assert decode("base64-e30=") == "{}"
    assert decode("base64- e3\n0") == "{}"


def test_a_whole_cookie_is_preferred_to_chunks_and_chunks_end_at_a_gap():
    assert join("k", {"k": "whole", "k.0": "a"}) == "whole"
    assert join("k", {"k": "", "k.0": "a", "k.1": "b", "k.3": "d"}) == "ab"
    assert join("k", {"k.1": "b"}) is None


@pytest.mark.parametrize(
    ("name", "is_one"),
    [("k", True), ("k.0", True), ("k.12", True), ("k.01", False), ("k.x", False), ("kk", False), ("", False)],
)
def test_chunks_are_known_by_their_names(name: str, is_one):
    assert is_chunk(name, "k") is is_one


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://abc.supabase.co", "sb-abc-auth-token"),
        ("http://127.0.0.1:54321", "sb-127-auth-token"),
        ("http://localhost:1", "sb-localhost-auth-token"),
        ("https://API.example.com", "sb-api-auth-token"),
    ],
)
def test_the_cookie_is_named_for_the_project(url: str, name: str):
    assert cookie_name(url) == name


def test_a_session_cookie_is_for_this_site_and_out_of_reach_of_scripts():
    response = jar()
    response.write(K, "{}")
    (header,) = [value for name, value in response.headers() if name == "set-cookie"]
    assert header == f"{K}=base64-e30; Max-Age=34560000; Path=/; HttpOnly; Secure; SameSite=Strict"


def test_the_verifier_survives_the_way_back_from_a_sign_in_elsewhere():
    response = jar()
    response.write(f"{K}-code-verifier", '"v"')
    assert [cookie.same_site for cookie in response.changes()] == ["Lax"]


def test_a_response_that_sets_cookies_is_kept_by_no_cache():
    response = jar()
    assert response.headers() == []
    response.write(K, "{}")
    assert "no-store" in dict(response.headers())["cache-control"]


def test_a_shared_domain_forgets_the_hosts_own_cookie_too():
    response = jar({K: "old"}, domain=".example.com", path="/app")
    response.remove(K)
    told = [value for name, value in response.headers() if name == "set-cookie"]
    assert told == [
        f"{K}=; Max-Age=0; Path=/app; HttpOnly; Secure; SameSite=Strict",
        f"{K}=; Max-Age=0; Domain=.example.com; Path=/app; HttpOnly; Secure; SameSite=Strict",
    ]


@pytest.mark.parametrize(
    "options",
    [
        {"name": "a b"},
        {"name": "a;b"},
        {"domain": "x; Secure"},
        {"path": "/a;b"},
        {"path": "app"},
        {"name": "é"},
    ],
)
def test_an_option_that_would_break_the_header_is_refused(options: dict[str, str]):
    with pytest.raises(ValueError, match="Set-Cookie"):
        CookieOptions(**options)


def test_a_value_is_not_in_a_repr():
    assert "hunter2" not in repr(SetCookie(K, "hunter2"))
