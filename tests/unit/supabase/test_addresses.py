"""Addresses that different readers would read differently are refused, and so are keys wherever they hide."""

from __future__ import annotations

import base64
import copy
import json
import pickle

import pytest
from pydantic import ValidationError
from pydantic_settings import SettingsConfigDict

from sba_supabase import PublicSettings, ServerSettings, SettingsError, load_settings
from sba_supabase import errors as every_error
from sba_supabase.addresses import plain_url, project_url

KEY = "sb_" + "secret_hunter2hunter2"


def part(members: dict[str, object]) -> str:
    return base64.urlsafe_b64encode(json.dumps(members).encode()).decode().rstrip("=")


def token(**claims: object) -> str:
    return f"{part({'alg': 'HS256', 'typ': 'JWT'})}.{part(claims)}.{'A' * 43}"


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.setenv("SUPABASE_URL", "https://abcdefghijklmnopqrst.supabase.co")
    monkeypatch.setenv("SUPABASE_SERVICE_KEY", KEY)
    return monkeypatch


@pytest.mark.parametrize(
    "address",
    [
        *("http://localhost.evil.com", "http://127.0.0.1@evil.com", "http://localhost.", "HTTP://evil.com"),
        *("http://127.1", "http://2130706433", "http://0.0.0.0", "http://[::ffff:127.0.0.1]"),
        *("http://localhost\\.evil.com", "http://localhost%2eevil.com", "http://127.0.0.1#@evil.com"),
        *("https://x.com\n", " https://x.com", "https://x.com ", "https://x\t.com", "https://x.com/\\@y"),
        *("https://x.com?", "https://x.com#", "https://@x.com", "https://:@x.com", "https://x.com:0"),
        *("https://a..b", "https://.a", "https://ab%00.com", "https://[::1", "https://", "//x.com"),
        *("https://x.com/rest/v1", "https://x.com/auth/v1/token"),
    ],
)
def test_an_address_that_could_be_misread_is_refused(address: str):
    with pytest.raises(ValueError, match=r"^must be ") as refused:
        project_url(address)
    assert "x.com" not in str(refused.value)


@pytest.mark.parametrize(
    ("address", "kept"),
    [
        ("http://LOCALHOST:54321/", "http://LOCALHOST:54321"),
        ("http://[::1]:8000", "http://[::1]:8000"),
        ("http://api.localhost", "http://api.localhost"),
        ("https://api.example.com/supabase/", "https://api.example.com/supabase"),
        ("https://é.example.com", "https://é.example.com"),
    ],
)
def test_an_address_of_a_project_passes(address: str, kept: str):
    assert project_url(address) == kept
    assert plain_url(f"{kept}/auth/v1") == f"{kept}/auth/v1"


@pytest.mark.parametrize("host", ["ABCDEFGHIJKLMNOPQRST.supabase.co", "abcdefghijklmnopqrst.supabase.co."])
def test_a_host_in_another_spelling_is_still_that_project(host: str, environment):
    environment.setenv("SUPABASE_URL", f"https://{host}")
    environment.setenv("SUPABASE_SERVICE_KEY", token(role="service_role", ref="another"))
    with pytest.raises(SettingsError, match="another project"):
        load_settings(ServerSettings)


@pytest.mark.parametrize(
    "value",
    [
        *(KEY, f" {KEY}", f"'{KEY}'\n", f'{{"key":"{KEY}"}}', f"https://x/?apikey={KEY}", f"a%20{KEY}"),
        *(f"Bearer {token(role='service_role')}", token(role="supabase_admin"), KEY.replace("_", "%5F")),
    ],
)
@pytest.mark.parametrize("name", ["NEXT_PUBLIC_X", "vite_x", "PUBLIC_X", "GATSBY_X", "VUE_APP_X"])
def test_a_secret_key_inside_a_public_variable_is_found(name: str, value: str, environment):
    environment.setenv(name, value)
    with pytest.raises(SettingsError) as refused:
        load_settings(ServerSettings)
    assert [problem.name for problem in refused.value.problems] == [name.upper()]
    assert "hunter2" not in str(refused.value)


def test_a_secret_key_in_a_file_of_variables_is_found_too(environment, tmp_path):
    (tmp_path / ".env").write_text(f"NEXT_PUBLIC_X={KEY}\n")

    class Deployed(ServerSettings):
        model_config = SettingsConfigDict(env_file=tmp_path / ".env")

    with pytest.raises(SettingsError, match="NEXT_PUBLIC_X"):
        load_settings(Deployed)


def test_settings_that_are_made_directly_show_no_value_either(environment):
    environment.setenv("SUPABASE_ANON_KEY", KEY)
    environment.delenv("SUPABASE_URL")
    with pytest.raises(ValidationError) as refused:
        ServerSettings()
    told = f"{refused.value!r} {refused.value.errors()} {refused.value.json()} {refused.value.__context__}"
    assert "SUPABASE_URL" in told
    assert "another role" in told
    assert "hunter2" not in told
    with pytest.raises(SettingsError, match="SUPABASE_URL: missing"):
        load_settings(ServerSettings)


def test_a_public_key_is_told_apart_under_every_public_name(environment):
    environment.setenv("NEXT_PUBLIC_SUPABASE_URL", "https://x.example.com")
    environment.setenv("NEXT_PUBLIC_SUPABASE_ANON_KEY", token(role="anon"))
    assert load_settings(PublicSettings).url == "https://x.example.com"


MADE = [
    every_error.SettingsError((every_error.SettingProblem("A", "missing"),)),
    every_error.RemoteUnavailable(503, "503", "words", retry_after=2.0),
    every_error.ResultInvalid(("a",)),
    every_error.AdminSession(),
    every_error.TenantUnavailable("57P01"),
    every_error.MigrationStatementFailed("1", "42601", "syntax"),
    every_error.PathRefused(),
    every_error.AnswerTooLarge(5),
]


@pytest.mark.parametrize("error", MADE, ids=lambda error: type(error).__name__)
def test_an_error_survives_the_way_to_another_process(error: every_error.SupabaseError):
    for again in (pickle.loads(pickle.dumps(error)), copy.copy(error)):  # noqa: S301 - our own bytes
        assert (type(again), str(again), vars(again)) == (type(error), str(error), vars(error))
