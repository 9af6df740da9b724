"""Cookies as @supabase/ssr's server client wrote them: `ssr_cookies.json` is what it did, recorded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sba_supabase.auth.cookies import CookieJar, CookieOptions, chunks, cookie_name, decode, join
from sba_supabase.auth.sessions import parse_session

RECORDED = json.loads(Path(__file__).with_name("ssr_cookies.json").read_text(encoding="utf-8"))
SESSIONS = {case["name"]: case for case in RECORDED["sessions"]}
NAME = cookie_name(RECORDED["url"])


def kept(name: str) -> dict[str, str]:
    """The cookies a browser has after that write."""
    return {cookie["name"]: cookie["value"] for cookie in SESSIONS[name]["set"] if cookie["maxAge"]}


def jar_of(case: dict[str, Any]) -> CookieJar:
    return CookieJar(kept(case["before"]) if case["before"] else {}, CookieOptions(name=NAME))


@pytest.mark.parametrize("case", SESSIONS.values(), ids=SESSIONS)
def test_the_same_write_sets_the_same_cookies_in_the_same_order(case):
    jar = jar_of(case)
    if case["text"] is None:
        jar.remove(NAME)
    else:
        jar.write(NAME, case["text"])
    ours = [(cookie.name, cookie.value, cookie.max_age, cookie.path) for cookie in jar.changes()]
    theirs = [(cookie["name"], cookie["value"], cookie["maxAge"], cookie["path"]) for cookie in case["set"]]
    assert ours == theirs


@pytest.mark.parametrize("case", SESSIONS.values(), ids=SESSIONS)
def test_the_attributes_are_those_it_was_told(case):
    for cookie in case["set"]:
        assert (cookie["sameSite"], cookie["httpOnly"], cookie["secure"]) == ("strict", True, True)
    for name, value in jar_of(case).headers():
        assert name != "set-cookie" or value.endswith("; HttpOnly; Secure; SameSite=Strict")


@pytest.mark.parametrize("name", [name for name, case in SESSIONS.items() if case["text"] and case["set"]])
def test_what_it_wrote_is_read(name: str):
    case = SESSIONS[name]
    assert CookieJar(kept(name), CookieOptions()).read(NAME) == case["text"]


@pytest.mark.parametrize("name", [name for name, case in SESSIONS.items() if case["text"]])
def test_a_session_is_written_as_javascript_writes_it(name: str):
    text = SESSIONS[name]["text"]
    stored = parse_session(text)
    assert stored is not None
    assert stored.text() == text


@pytest.mark.parametrize("case", RECORDED["chunks"], ids=[case["name"] for case in RECORDED["chunks"]])
def test_any_text_is_cut_where_it_cuts(case):
    ours = [{"name": name, "value": value} for name, value in chunks("k", case["value"])]
    assert ours == case["set"]
    assert join("k", dict(chunks("k", case["value"]))) == case["value"]


def test_the_recording_covers_what_matters():
    assert len(kept("three chunks")) == 3
    assert {len(value) for value in kept("3181 characters").values()} == {3180, 1}
    assert decode(kept("small")[NAME]) == SESSIONS["small"]["text"]
