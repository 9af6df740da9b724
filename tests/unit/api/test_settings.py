"""Settings: one message for everything that is wrong, and never a value."""

import os

import pytest
from click.testing import CliRunner

from sba_api.cli import main
from sba_api.settings import ApiSettings, MigrateSettings, WorkerSettings
from sba_supabase.errors import SettingsError
from sba_supabase.settings import load_settings

GOOD = {
    "SBA_DATABASE_URL": "postgresql://sba_app:app-secret@127.0.0.1/sba",
    "SBA_QUEUE_DATABASE_URL": "postgresql://sba_worker:queue-secret@127.0.0.1/sba",
    "SBA_MIGRATION_DATABASE_URL": "postgresql://sba_migrator:migrator-secret@127.0.0.1/sba",
    "REDIS_URL": "redis://:redis-secret@127.0.0.1:6379/0",
    "SUPABASE_URL": "http://127.0.0.1:54321/",
}


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    for name in list(os.environ):
        if name.startswith(("SBA_", "SUPABASE_", "OTEL_")) or name == "REDIS_URL":
            monkeypatch.delenv(name)
    return monkeypatch


def given(environment, **changes):
    for name, value in {**GOOD, **changes}.items():
        environment.setenv(name, value)


@pytest.mark.parametrize(
    ("command", "names"),
    [
        ("serve", {"SBA_DATABASE_URL", "REDIS_URL", "SUPABASE_URL"}),
        ("worker", {"SBA_DATABASE_URL", "SBA_QUEUE_DATABASE_URL", "REDIS_URL"}),
        ("migrate", {"SBA_MIGRATION_DATABASE_URL"}),
    ],
)
def test_a_command_without_settings_names_them_all_and_exits_with_2(command, names):
    result = CliRunner().invoke(main, [command])
    assert result.exit_code == 2
    for name in names:
        assert name in result.stderr


def test_wrong_values_are_named_but_never_shown(environment):
    given(
        environment,
        SBA_DATABASE_URL="mysql://sba_app:app-secret@127.0.0.1/sba",
        REDIS_URL="redis-secret",
        SUPABASE_URL="http://user:supabase-secret@127.0.0.1",
        SBA_CORS_ORIGINS="*",
        SBA_TRUSTED_PROXIES="10.0.0.0/40",
        SBA_API_PORT="eighty",
        SBA_MAX_BODY_BYTES="-1",
    )
    result = CliRunner().invoke(main, ["serve"])
    assert result.exit_code == 2
    for name in ("SBA_DATABASE_URL", "REDIS_URL", "SUPABASE_URL", "SBA_CORS_ORIGINS", "SBA_TRUSTED_PROXIES",
                 "SBA_API_PORT", "SBA_MAX_BODY_BYTES"):  # fmt: skip
        assert name in result.stderr
    for value in ("secret", "mysql", "eighty", "10.0.0.0"):
        assert value not in result.stderr


@pytest.mark.parametrize(
    ("command", "names"),
    [
        ("serve", {"SBA_DATABASE_URL", "REDIS_URL"}),
        ("worker", {"SBA_DATABASE_URL", "SBA_QUEUE_DATABASE_URL", "REDIS_URL"}),
        ("migrate", {"SBA_MIGRATION_DATABASE_URL"}),
    ],
)
def test_addresses_with_broken_ports_are_named_but_never_shown(environment, command, names):
    broken = {name: "postgresql://u:app-secret@h:notaport/db" for name in GOOD if name.startswith("SBA_")}
    given(environment, **broken, REDIS_URL="redis://:redis-secret@127.0.0.1:99999999/0")
    result = CliRunner().invoke(main, [command])
    assert result.exit_code == 2
    assert all(name in result.stderr for name in names)
    for value in ("secret", "notaport", "99999999"):
        assert value not in result.stderr


def test_a_socket_directory_serves_as_the_database_host(environment):
    url = "postgresql://u:p@/db?host=/run/postgresql"
    given(environment, SBA_DATABASE_URL=url)
    assert load_settings(ApiSettings).database_url.get_secret_value() == url


def test_lists_are_separated_by_commas(environment):
    given(
        environment,
        SBA_CORS_ORIGINS="https://a.example, http://localhost:3000",
        SBA_TRUSTED_PROXIES="10.0.0.0/8,::1/128",
    )
    settings = load_settings(ApiSettings)
    assert settings.cors_origins == ("https://a.example", "http://localhost:3000")
    assert [str(network) for network in settings.trusted_proxies] == ["10.0.0.0/8", "::1/128"]


NOT_AN_ORIGIN = (
    "*",
    "null",
    "a.example",
    "ftp://a.example",
    "https://*.example.com",
    "https://a.example/",
    "https://a.example/path",
    "https://user@a.example",
    "https://A.example",
)


@pytest.mark.parametrize("origin", NOT_AN_ORIGIN)
def test_only_exact_origins_are_accepted(environment, origin):
    given(environment, SBA_CORS_ORIGINS=origin)
    with pytest.raises(SettingsError, match="SBA_CORS_ORIGINS"):
        load_settings(ApiSettings)


def test_nothing_is_open_by_default(environment):
    given(environment)
    settings = load_settings(ApiSettings)
    assert settings.cors_origins == ()
    assert settings.trusted_proxies == ()
    assert settings.api_host == "127.0.0.1"
    assert settings.auth.issuer == "http://127.0.0.1:54321/auth/v1"


@pytest.mark.parametrize("kind", [ApiSettings, WorkerSettings, MigrateSettings])
def test_secrets_stay_out_of_a_repr(environment, kind):
    given(environment)
    assert "secret" not in repr(load_settings(kind)).replace("SecretStr", "").replace("legacy_secret", "")
