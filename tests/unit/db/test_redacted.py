"""What is stored of a tool call has no secret in it, and is otherwise what was given."""

from __future__ import annotations

import json
import string
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from sba_db import InvalidValue, PayloadTooLarge, payloads

WORDS = st.text(string.ascii_lowercase[:10], min_size=1, max_size=8)
ORDINARY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | WORDS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS, inner, max_size=4),
    max_leaves=12,
)
ALPHABET = string.ascii_letters + string.digits
MATERIAL = st.text(ALPHABET, min_size=24, max_size=40).map(lambda text: f"Z9q{text}")
NAMES = (
    "password", "Password", "PASSWD", "db_password", "dbPassword", "user-pwd", "passphrase",
    "PGPASSWORD", "token", "access_token", "accessToken", "refresh-token", "X-Auth-Token", "secret",
    "client_secret", "clientSecret", "authorization", "Authorization", "Proxy-Authorization", "api_key",
    "apiKey", "API-KEY", "x-api-key", "service_role_key", "private_key", "privateKey", "signing-key",
    "cookie", "Set-Cookie", "credentials", "aws_secret_access_key", "jwt",
)  # fmt: skip
SHAPES: dict[str, Callable[[str], str]] = {
    "a JSON web token": lambda one: f"eyJhbGciOiJIUzI1NiJ9.{one}.{one}",
    "a secret key of Supabase": lambda one: f"sb_secret_{one}",
    "a key of a model's vendor": lambda one: f"sk-proj-{one}",
    "a key of a forge": lambda one: f"ghp_{one}",
    "bearer credentials": lambda one: f"Authorization: Bearer {one}",
    "basic credentials": lambda one: f"Basic {one}==",
    "a password in an address": lambda one: f"postgresql://sba:{one}@db.example:5432/sba",
    "a private key": lambda one: f"-----BEGIN PRIVATE KEY-----\n{one}\n-----END PRIVATE KEY-----",
    "an assignment": lambda one: f"PGPASSWORD={one} psql",
    "JSON in a text": lambda one: json.dumps({"clientSecret": one}),
    "a header line": lambda one: f"GET /\r\nCookie: session={one}; other=1\r\n",
}


def planted(value: Any, secret: Any) -> st.SearchStrategy[Any]:
    """The value with the secret put at any one place in it."""
    if isinstance(value, list):
        places = st.integers(0, len(value)).map(lambda at: [*value[:at], secret, *value[at:]])
        inner = [
            planted(one, secret).map(lambda new, at=at: [*value[:at], new, *value[at + 1 :]])
            for at, one in enumerate(value)
        ]
    elif isinstance(value, dict):
        places = WORDS.map(lambda name: {**value, name: secret})
        inner = [
            planted(one, secret).map(lambda new, name=name: {**value, name: new})
            for name, one in value.items()
        ]
    else:
        return st.just(secret)
    return st.one_of(places, *inner)


def redacted(value: Any) -> str:
    return payloads.redacted("arguments", value, limit=payloads.DOCUMENT)


@given(ORDINARY)
def test_ordinary_data_is_unchanged(value):
    assert redacted(value) == payloads.document("arguments", value, limit=payloads.DOCUMENT)


@settings(max_examples=300)
@given(name=st.sampled_from(NAMES), data=st.data(), value=ORDINARY, one=MATERIAL)
def test_what_stands_under_a_telling_name_is_never_stored(name, data, value, one):
    under = data.draw(st.sampled_from([one, [one], {"x": one}, [{"x": [one, 1]}]]))
    stored = redacted(data.draw(planted(value, {name: under})))

    assert one not in stored
    assert name in stored


@settings(max_examples=300)
@given(shape=st.sampled_from(list(SHAPES)), data=st.data(), value=ORDINARY, one=MATERIAL)
def test_what_has_a_telling_shape_is_never_stored(shape, data, value, one):
    assume(any(letter.isupper() for letter in one) and any(letter.isdigit() for letter in one))
    around = data.draw(st.sampled_from(["{}", "see {}", "{} end", "a\n{}\nb"]))
    stored = redacted(data.draw(planted(value, around.format(SHAPES[shape](one)))))

    assert one not in stored


def test_a_secret_may_be_the_name_or_the_whole():
    key = "sk-proj-abcdefgh12345678"

    assert key not in redacted({key: 1})
    assert redacted(key) == '"[redacted]"'
    assert redacted([["Authorization", "x1"], ["n", 1]]) == '[["Authorization","[redacted]"],["n",1]]'


def test_numbers_of_tokens_and_flags_stay():
    used = {
        "max_tokens": 5,
        "tokens": 12,
        "has_password": True,
        "password": None,
        "key": "name",
        "sort_key": 1,
    }

    assert json.loads(redacted(used)) == used


def test_what_is_no_json_is_refused_and_not_described():
    for value in ({"a": {1, 2}}, {"a": object()}, [b"x"], float("nan"), "\0", {"password": "\0"}):
        with pytest.raises(InvalidValue) as refused:
            redacted(value)
        assert refused.value.field == "arguments"


def test_the_limit_is_of_what_is_given():
    with pytest.raises(PayloadTooLarge) as refused:
        payloads.redacted("result", {"password": "x" * 100}, limit=100)

    assert (refused.value.field, refused.value.limit, refused.value.size) == ("result", 100, 115)
    assert payloads.redacted("result", {"password": "x"}, limit=16) == '{"password":"[redacted]"}'


@pytest.mark.parametrize("depth", [23, 24, 30, 900, 100_000])
def test_depth_is_bounded_and_hides_no_secret(depth):
    value: Any = {"password": "hunter2"}
    for _ in range(depth):
        value = [value]
    try:
        stored = payloads.redacted("f", value, limit=10**6)
    except InvalidValue:
        stored = ""

    assert "hunter2" not in stored
    assert bool(stored) is (depth < 1000)


def test_whatever_the_depth_it_is_stored_or_refused():
    seen = set()
    for depth in range(800, 1_100):
        value: Any = []
        for _ in range(depth):
            value = [value]
        try:
            seen.add(payloads.redacted("f", value, limit=10**6).count("…"))
        except InvalidValue as refused:
            seen.add(refused.field)

    assert seen == {1, "f"}


@pytest.mark.parametrize(
    "value",
    ["token" + " " * 262_000, "eyJaaaaaaaa" + "." * 262_000, "-----BEGIN " + "PRIVATE KEY" * 23_000,
     [["token", 1]] * 20_000, [{"jwt": 1}] * 26_000, ["a"] * 65_000, 'secret,"' * 29_000],
    ids=["spaces", "dots", "begins", "pairs", "names", "items", "commas"],
)  # fmt: skip
def test_a_large_document_that_is_hard_to_look_through_is_looked_through(value):
    assert payloads.redacted("f", value, limit=400_000)


def test_none_stays_none_where_it_may():
    assert payloads.optional_redacted("f", None, limit=1) is None
    assert payloads.optional_redacted("f", {"jwt": "x"}, limit=20) == '{"jwt":"[redacted]"}'
