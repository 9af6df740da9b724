from __future__ import annotations

import base64
import datetime as dt
import enum
import json
import uuid
from dataclasses import dataclass, field

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sba_telemetry import REDACTED, is_secret_name, redact, redact_text

TOKEN = jwt.encode(
    {"sub": "8d0f", "app_metadata": {"tenant_id": "t"}, "exp": 4_000_000_000}, "k" * 32, algorithm="HS256"
)
SB_SECRET = "_".join(["sb", "secret", "N7UND0UgjKTVK-Uodkm0Hg_xSvEMPvz"])
PEM = "-----BEGIN EC PRIVATE KEY-----\nMHcCAQEEIOnSec/ret+key\n-----END EC PRIVATE KEY-----"
BASIC = base64.b64encode(b"user:hunter2hunter2").decode()


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        (TOKEN, TOKEN),
        (f"rejected {TOKEN} of somebody", TOKEN),
        (f"token_{TOKEN}", TOKEN),
        (TOKEN.rsplit(".", 1)[0], TOKEN.split(".")[1]),
        (TOKEN[:40], TOKEN[10:40]),
        (f"apikey={SB_SECRET}", SB_SECRET),
        (f"using {SB_SECRET}.", SB_SECRET),
        ("sbp_0123456789abcdef0123456789abcdef01234567", "0123456789abcdef"),
        ("ghp_abcdefghijklmnopqrstuvwxyz0123456789", "abcdefghijkl"),
        ("sk-proj-abcdefghijklmnop", "abcdefghijklmnop"),
        ("AKI" + "AIOSFODNN7EXAMPLE", "IOSFODNN7"),
        ("postgresql://sba_app:hunter2@db.internal:5432/sba", "hunter2"),
        ("postgresql://sba_app:p%40ss:w0rd@db/sba?sslmode=require", "p%40ss:w0rd"),
        ("redis://:hunter2@cache:6379/0", "hunter2"),
        ("amqp://u:we@ird@host", "we@ird"),
        ("https://db?password=hunter2&x=1", "hunter2"),
        ("http://u:p4ssw0rd@h/?token=hunter2", "hunter2"),
        ("host=db user=app password=hunter2 dbname=sba", "hunter2"),
        ("host=db password='hun ter2' dbname=sba", "ter2"),
        ("PGPASSWORD=hunter2 psql", "hunter2"),
        ("Authorization: Bearer abcdef123456", "abcdef123456"),
        ("authorization: Digest username=x, response=hunter2", "hunter2"),
        (f"Basic {BASIC}", BASIC),
        ("sent bearer abcdef-123456_xyz upstream", "abcdef-123456"),
        ("Cookie: a=1; session=hunter2", "hunter2"),
        ("Set-Cookie: session=hunter2; HttpOnly", "hunter2"),
        ('{"password": "hun\\"ter2", "user": "bob"}', "ter2"),
        ("{'access_token': 'hunter2'}", "hunter2"),
        ('{"a": "{\\"token\\": \\"hunter2\\"}"}', "hunter2"),
        ("(b'x-api-key', b'hunter2')", "hunter2"),
        ("client_secret => hunter2", "hunter2"),
        ("SUPABASE_SERVICE_ROLE_KEY=hunter2", "hunter2"),
        ("apiKey: hunter2", "hunter2"),
        ("GET /v1?access_token=hunter2 200", "hunter2"),
        ('password="hunter2', "hunter2"),
        (PEM, "MHcCAQEEIOnSec"),
        (PEM.split("-----END", maxsplit=1)[0], "MHcCAQEEIOnSec"),
    ],
)
def test_a_secret_in_a_text_is_replaced(text, secret):
    clean = redact_text(text)
    assert secret not in clean
    assert REDACTED in clean


@pytest.mark.parametrize(
    "text",
    [
        "",
        "GET /v1/runs/0192f0c1-7a 200 in 12 ms",
        "postgresql://sba_app@db.internal:5432/sba",
        "http://127.0.0.1:54321/auth/v1/.well-known/jwks.json",
        "a basic understanding of the bearer market",
        "input_tokens=120 output_tokens: 7",
        "the key of the tokenizer is public",
        "risk-averse task-oriented",
        "user@example.test wrote",
        "12:30:01 started",
    ],
)
def test_a_text_without_secrets_is_left_alone(text):
    assert redact_text(text) == text


def test_what_surrounds_a_secret_stays_readable():
    assert redact_text("postgresql://app:x1@db:5432/sba") == f"postgresql://app:{REDACTED}@db:5432/sba"
    assert redact_text('{"token": "abc", "user": "bob"}') == f'{{"token": {REDACTED}, "user": "bob"}}'


@pytest.mark.parametrize(
    "name",
    [
        "authorization", "Authorization", "proxy-authorization", "password", "userPassword", "PGPASSWORD",
        "db_passwd", "secret", "client_secret", "clientSecret", "SECRET_KEY", "token", "access_token",
        "refreshToken", "X-Auth-Token", "apikey", "api_key", "X-API-Key", "apiKeys", "cookie", "Set-Cookie",
        "SUPABASE_ANON_KEY", "SUPABASE_SERVICE_ROLE_KEY", "service_key", "privateKey", "signing_keys", "jwt",
        "credentials",
    ],
)  # fmt: skip
def test_telling_names_are_secret(name):
    assert is_secret_name(name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "key",
        "idempotency_key",
        "cache_key",
        "input_tokens",
        "token_count",
        "monkey",
        "event",
        "author",
        "id",
    ],
)
def test_other_names_are_not(name):
    assert not is_secret_name(name)


class Color(enum.Enum):
    RED = "sb_secret_abcdefghijkl"


@dataclass
class Settings:
    url: str
    password: str
    hidden: str = field(default="sb_secret_hidden_value", repr=False)


class Leaky:
    def __repr__(self) -> str:
        return f"<Leaky password={SB_SECRET!r}>"


def test_every_kind_of_value_becomes_plain_and_clean():
    at = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    clean = redact(
        {
            "at": at,
            "id": uuid.UUID(int=5),
            "n": 1.5,
            "none": None,
            "flag": True,
            "enum": Color.RED,
            "settings": Settings("redis://:x@h", "hunter2"),
            "leaky": Leaky(),
            "error": ValueError(f"bad {TOKEN}"),
            "raw": f"Bearer {TOKEN}".encode(),
            "broken": b"\xff\xfe",
            "set": {"a"},
            "headers": [(b"authorization", b"Bearer short"), (b"accept", b"*/*")],
            "type": Settings,
        }
    )
    assert clean == {
        "at": at,
        "id": uuid.UUID(int=5),
        "n": 1.5,
        "none": None,
        "flag": True,
        "enum": REDACTED,
        "settings": {"url": f"redis://:{REDACTED}@h", "password": REDACTED},
        "leaky": f"<Leaky password={REDACTED}>",
        "error": f"ValueError: bad {REDACTED}",
        "raw": f"Bearer {REDACTED}",
        "broken": "\\xff\\xfe",
        "set": ["a"],
        "headers": [["authorization", REDACTED], ["accept", "*/*"]],
        "type": repr(Settings),
    }


def test_a_secret_name_hides_whatever_it_holds_except_nothing_and_yes_or_no():
    held = {"password": ["a", {"b": "c"}], "token": 1234, "secret": None, "cookie": False}
    assert redact(held) == {"password": REDACTED, "token": REDACTED, "secret": None, "cookie": False}


def test_the_given_value_is_not_changed():
    given_value = {"a": [{"password": "x"}]}
    redact(given_value)
    assert given_value == {"a": [{"password": "x"}]}


class Broken:
    def __repr__(self) -> str:
        raise RuntimeError("no description")


def test_an_object_that_cannot_describe_itself_goes_by_its_type():
    assert redact([Broken(), ValueError(Broken())]) == ["<Broken>", "<ValueError>"]


def test_structures_that_contain_themselves_end():
    looped: list[object] = ["a"]
    looped.append(looped)
    assert redact(looped) == ["a", ["a", "…"]] or redact(looped) == ["a", "…"]
    wide: dict[str, object] = {}
    wide.update({str(place): wide for place in range(50)})
    assert json.dumps(redact(wide))


def test_very_deep_structures_end():
    deep: object = SB_SECRET
    for _ in range(10_000):
        deep = [deep]
    assert SB_SECRET not in json.dumps(redact(deep))


def test_hostile_texts_take_no_time_to_speak_of():
    for text in (
        "://a:" * 60_000, "eyJ" * 100_000, "password" * 40_000, "-----BEGIN PRIVATE KEY-----" * 8_000,
        "bearer " * 40_000, "token=" + " " * 200_000, "token='" * 40_000, 'token"' * 40_000,
        "basic " + "a" * 300_000,
        "authorization:" * 20_000, "token\\\\" * 40_000, "token" + "\\" * 200_000, "cookie" + " " * 200_000,
        "bearer" + " " * 200_000,
    ):  # fmt: skip
        redact_text(text)


SECRETS = st.one_of(
    st.sampled_from([TOKEN, SB_SECRET]),
    st.text("abcdefghijkmnopqrstuvwxyzABCDEFGH0123456789", min_size=24, max_size=40).map(
        lambda tail: f"sb_secret_{tail}"
    ),
    st.binary(min_size=16, max_size=48).map(
        lambda raw: jwt.encode({"sub": raw.hex()}, "k" * 32, algorithm="HS256")
    ),
)
FRAMES = st.sampled_from(
    [
        "{}",
        "Bearer {}",
        "key {} used",
        "https://x.test/?a={}&b=1",
        "é{}é",
        '{{"x": "{}"}}',
        "({},)",
        "postgres://u:{}@h/d",
    ]
)
NAMES = st.sampled_from(["event", "body", "password", "authorization", "n", "token", ""])


def wrap(inner: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    return st.one_of(
        st.tuples(NAMES, inner).map(lambda pair: {pair[0]: pair[1], "other": 1}),
        st.lists(inner, min_size=1, max_size=3),
        inner.map(lambda value: (value, "tail")),
        inner.map(lambda value: ("x", value)),
        inner.map(ValueError),
        inner.map(lambda value: Settings("u", value)),
        inner.map(lambda value: json.dumps(value, default=repr)),
        inner.map(lambda value: repr(value).encode()),
        inner.map(lambda value: {repr(value): 1}),
    )


@given(st.data())
def test_a_planted_secret_never_survives_wherever_it_is(data):
    secret = data.draw(SECRETS)
    text = data.draw(FRAMES).format(secret)
    value = data.draw(st.recursive(st.just(text), wrap, max_leaves=6))
    shown = json.dumps(redact(value), default=str) + repr(redact(value))
    assert secret not in shown
    assert secret[12:] not in shown


@given(
    name=st.sampled_from(["password", "client_secret", "X-Api-Key", "refreshToken", "cookie"]),
    secret=st.text(min_size=6, max_size=40).filter(lambda text: text.strip() and text not in REDACTED),
)
def test_what_stands_under_a_secret_name_never_survives(name, secret):
    assert redact({"outer": [{name: secret}]}) == {"outer": [{name: REDACTED}]}
    assert redact([(name.encode(), secret)]) == [[name, REDACTED]]


@given(st.text(max_size=300))
def test_redacting_twice_changes_nothing_more(text):
    once = redact_text(text)
    assert redact_text(once) == once
