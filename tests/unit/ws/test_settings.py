"""Settings: one message for everything that is wrong, and never a value."""

from __future__ import annotations

import os

import pytest
from click.testing import CliRunner

from sba_supabase import load_settings
from sba_ws.cli import main
from sba_ws.settings import WsSettings

GOOD = {
    "SBA_DATABASE_URL": "postgresql://sba_app:app-secret@127.0.0.1/sba",
    "REDIS_URL": "redis://:redis-secret@127.0.0.1:6379/0",
    "SUPABASE_URL": "http://127.0.0.1:54321/",
}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in list(os.environ):
        if name.startswith(("SBA_", "SUPABASE_", "OTEL_")) or name == "REDIS_URL":
            monkeypatch.delenv(name)
    return monkeypatch


def given(environment: pytest.MonkeyPatch, **changes: str) -> None:
    for name, value in {**GOOD, **changes}.items():
        environment.setenv(name, value)


def test_without_settings_all_are_named_and_the_status_is_2() -> None:
    result = CliRunner().invoke(main, ["serve"])
    assert result.exit_code == 2
    assert all(name in result.stderr for name in GOOD)


def test_broken_addresses_are_named_but_never_shown(environment: pytest.MonkeyPatch) -> None:
    given(
        environment,
        SBA_DATABASE_URL="postgresql://u:app-secret@h:notaport/db",
        REDIS_URL="redis://:redis-secret@127.0.0.1:99999999/0",
        OTEL_EXPORTER_OTLP_ENDPOINT="http://h:0",
        SBA_CORS_ORIGINS="*",
    )
    result = CliRunner().invoke(main, ["serve"])
    assert result.exit_code == 2
    for name in ("SBA_DATABASE_URL", "REDIS_URL", "OTEL_EXPORTER_OTLP_ENDPOINT", "SBA_CORS_ORIGINS"):
        assert name in result.stderr
    for value in ("secret", "notaport", "99999999"):
        assert value not in result.stderr


def test_a_socket_directory_serves_as_the_database_host(environment: pytest.MonkeyPatch) -> None:
    url = "postgresql://u:p@/db?host=/run/postgresql"
    given(environment, SBA_DATABASE_URL=url)
    settings = load_settings(WsSettings)
    assert settings.database_url.get_secret_value() == url
    assert settings.cors_origins == ()
    assert settings.trusted_proxies == ()
