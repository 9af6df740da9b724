"""The variables that services share: what passes, what is refused, and that no value is shown."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic_settings import BaseSettings, SettingsConfigDict

from sba_supabase import SettingsError, load_settings
from sba_supabase.variables import Networks, Origins, PostgresUrl, RedisUrl, WebUrl


class Shared(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="SHARED_", hide_input_in_errors=True)

    postgres: PostgresUrl | None = None
    redis: RedisUrl | None = None
    web: WebUrl | None = None
    origins: Origins = ()
    networks: Networks = ()


def load(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> Any:
    monkeypatch.setenv(f"SHARED_{name}", value)
    return getattr(load_settings(Shared), name.lower())


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:p@127.0.0.1/db",
        "postgres://u:p@db.example.com:5432/db?sslmode=require",
        "postgresql://u:p%40ss@[::1]:65535/db",
        "postgresql://u:p@/db?host=/run/postgresql",
        "postgresql:///db?host=%2Frun%2Fpostgresql&port=5433",
        "postgresql://u:p@:5433/db?host=/run/postgresql",
        "postgresql://u:p@%2Frun%2Fpostgresql/db",
        "postgresql://u:p@one:5432,two:5433/db",
    ],
)
def test_every_form_in_which_libpq_is_told_a_host_passes(monkeypatch: pytest.MonkeyPatch, url: str):
    assert load(monkeypatch, "POSTGRES", url).get_secret_value() == url


@pytest.mark.parametrize(
    "url",
    ["redis://127.0.0.1", "redis://:p@127.0.0.1:6379/0", "rediss://u:p@cache.example.com:65535", "redis://[::1]:1/0"],
)  # fmt: skip
def test_a_redis_address_passes(monkeypatch: pytest.MonkeyPatch, url: str):
    assert load(monkeypatch, "REDIS", url).get_secret_value() == url


BROKEN = (
    "h:notaport",
    "h:99999999",
    "h:65536",
    "h:0",
    "h:-1",
    "h:1:2",
    "[::1",
    "[::1]x:5",
    "",
    ":5432",
)


@pytest.mark.parametrize("place", BROKEN)
@pytest.mark.parametrize(
    ("name", "scheme", "login"),
    [("POSTGRES", "postgresql", "u:hunter2@"), ("REDIS", "redis", ":hunter2@"), ("WEB", "https", "")],
)
def test_a_broken_host_or_port_is_told_by_its_rule_alone(
    monkeypatch: pytest.MonkeyPatch, name: str, scheme: str, login: str, place: str
):
    with pytest.raises(SettingsError) as refused:
        load(monkeypatch, name, f"{scheme}://{login}{place}/path")
    (problem,) = refused.value.problems
    assert problem.name == f"SHARED_{name}"
    assert "1 to 65535" in problem.rule
    for secret in ("hunter2", "notaport", "99999999", "/path"):
        assert secret not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("POSTGRES", "mysql://u:hunter2@h/db"),
        ("POSTGRES", "host=h user=u password=hunter2"),
        ("POSTGRES", "postgresql://u:hunter2@/db"),
        ("POSTGRES", "postgresql://u:hunter2@/db?host="),
        ("POSTGRES", "postgresql://u:hunter2@/db?host=/run&port=hunter2"),
        ("POSTGRES", "postgresql://u:hunter2@one:5432,two:x/db"),
        ("POSTGRES", "postgresql://u:hunter2%zz@h/db"),
        ("POSTGRES", "postgresql://u:hunter2%00@h/db"),
        ("POSTGRES", "postgresql://u:hunter2 @h/db"),
        ("REDIS", "hunter2"),
        ("REDIS", "unix:///hunter2"),
        ("REDIS", "redis://:hunter2@h\n:1"),
        ("WEB", "https://u:hunter2@h"),
        ("WEB", "ftp://hunter2"),
        ("ORIGINS", "https://hunter2.example:99999"),
        ("ORIGINS", "https://hunter2.example/"),
        ("NETWORKS", "10.0.0.0/hunter2"),
    ],
)
def test_what_breaks_a_rule_is_named_and_not_shown(monkeypatch: pytest.MonkeyPatch, name: str, value: str):
    with pytest.raises(SettingsError, match=f"SHARED_{name}") as refused:
        load(monkeypatch, name, value)
    assert "hunter2" not in str(refused.value)


def test_lists_are_separated_by_commas_and_addresses_lose_their_last_slash(monkeypatch: pytest.MonkeyPatch):
    origins = load(monkeypatch, "ORIGINS", "https://a.example, http://localhost:3000,")
    assert origins == ("https://a.example", "http://localhost:3000")
    assert [str(each) for each in load(monkeypatch, "NETWORKS", "10.0.0.0/8,::1/128")] == [
        "10.0.0.0/8",
        "::1/128",
    ]
    assert load(monkeypatch, "WEB", "http://collector:4318/") == "http://collector:4318"
