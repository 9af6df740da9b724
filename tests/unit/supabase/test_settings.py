"""Settings: everything that is wrong is told at once, by name and rule, and no value is shown."""

from __future__ import annotations

import traceback
from typing import Annotated

import pytest
from pydantic import AfterValidator, AliasChoices, AliasPath, BaseModel, Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from sba_supabase import AuthSettings, ProjectSettings, ServerSettings, SettingsError, load_settings
from sba_supabase.errors import SettingProblem

PROJECT = "https://abc.supabase.co"
NAMES = (
    "SUPABASE_URL",
    "SUPABASE_SERVICE_ROLE_KEY",
    "SUPABASE_SERVICE_KEY",
    "SUPABASE_JWT_ISSUER",
    "SUPABASE_JWT_AUDIENCE",
    "SUPABASE_JWT_SECRET",
)


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def problems(cls: type[BaseSettings]) -> dict[str, str]:
    with pytest.raises(SettingsError) as refused:
        load_settings(cls)
    said = {problem.name: problem.rule for problem in refused.value.problems}
    assert all(name in str(refused.value) for name in said)
    return said


def test_a_complete_environment_is_loaded(environment: pytest.MonkeyPatch):
    environment.setenv("SUPABASE_URL", f"{PROJECT}/")
    environment.setenv("SUPABASE_SERVICE_ROLE_KEY", "sb_secret_abc")
    settings = load_settings(ServerSettings)
    assert settings.url == PROJECT
    assert settings.service_role_key.get_secret_value() == "sb_secret_abc"
    assert settings.auth == AuthSettings(
        issuer=f"{PROJECT}/auth/v1", jwks_url=f"{PROJECT}/auth/v1/.well-known/jwks.json"
    )


def test_the_older_name_of_the_service_key_serves_too(environment: pytest.MonkeyPatch):
    environment.setenv("SUPABASE_URL", PROJECT)
    environment.setenv("SUPABASE_SERVICE_KEY", "sb_secret_old")
    assert load_settings(ServerSettings).service_role_key.get_secret_value() == "sb_secret_old"


def test_a_verifying_service_needs_no_key(environment: pytest.MonkeyPatch):
    environment.setenv("SUPABASE_URL", "http://127.0.0.1:54321")
    auth = load_settings(ProjectSettings).auth
    assert auth.issuer == "http://127.0.0.1:54321/auth/v1"
    assert auth.audience == "authenticated"
    assert auth.legacy_secret is None


def test_an_issuer_behind_a_custom_domain_keeps_its_name(environment: pytest.MonkeyPatch):
    environment.setenv("SUPABASE_URL", "https://db.example.com")
    environment.setenv("SUPABASE_JWT_ISSUER", f"{PROJECT}/auth/v1")
    environment.setenv("SUPABASE_JWT_AUDIENCE", "staff")
    environment.setenv("SUPABASE_JWT_SECRET", "s" * 32)
    auth = load_settings(ProjectSettings).auth
    assert (auth.issuer, auth.audience) == (f"{PROJECT}/auth/v1", "staff")
    assert auth.jwks_url == "https://db.example.com/auth/v1/.well-known/jwks.json"
    assert auth.legacy_secret == SecretStr("s" * 32)


def test_everything_missing_is_named_at_once():
    assert problems(ServerSettings) == {
        "SUPABASE_URL": "missing",
        "SUPABASE_SERVICE_ROLE_KEY or SUPABASE_SERVICE_KEY": "missing",
    }


def test_an_empty_variable_is_a_missing_one(environment: pytest.MonkeyPatch):
    environment.setenv("SUPABASE_URL", "")
    assert problems(ProjectSettings) == {"SUPABASE_URL": "missing"}


def test_everything_wrong_is_named_at_once_and_no_value_is_shown(environment: pytest.MonkeyPatch):
    wrong = {
        "SUPABASE_URL": "ftp://user:hunter2@abc",
        "SUPABASE_SERVICE_KEY": "sb_publishable_hunter2",
        "SUPABASE_JWT_ISSUER": "hunter2",
        "SUPABASE_JWT_SECRET": "hunter2",
    }
    for name, value in wrong.items():
        environment.setenv(name, value)
    with pytest.raises(SettingsError) as refused:
        load_settings(ServerSettings)
    told = "".join(traceback.format_exception(refused.value)) + repr(refused.value.problems)
    assert refused.value.__context__ is None
    assert len(refused.value.problems) == 4
    assert "hunter2" not in told
    assert "SUPABASE_SERVICE_ROLE_KEY or SUPABASE_SERVICE_KEY" in told


@pytest.mark.parametrize(
    ("url", "rule"),
    [
        ("abc.supabase.co", "must be an http(s) URL"),
        ("https://", "must be an http(s) URL"),
        ("https://[::1", "must be a URL"),
        ("https://abc:port", "must be a URL"),
        ("http://abc.supabase.co", "must be an https URL (http on loopback only)"),
        ("http://kong:8000", "must be an https URL (http on loopback only)"),
        ("http://10.0.0.4", "must be an https URL (http on loopback only)"),
        ("http://localhost.evil.com", "must be an https URL (http on loopback only)"),
        ("http://8.8.8.8", "must be an https URL (http on loopback only)"),
        ("https://user:pw@abc.supabase.co", "must be a URL without credentials, query or fragment"),
        ("https://abc.supabase.co/?key=1", "must be a URL without credentials, query or fragment"),
    ],
)
def test_an_address_follows_the_rules(url: str, rule: str, environment: pytest.MonkeyPatch):
    environment.setenv("SUPABASE_URL", url)
    assert problems(ProjectSettings) == {"SUPABASE_URL": rule}


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:1", "http://[::1]:1", "http://localhost", "http://a.localhost"]
)
def test_plain_http_stays_on_this_machine(url: str, environment: pytest.MonkeyPatch):
    environment.setenv("SUPABASE_URL", url)
    assert load_settings(ProjectSettings).url == url


def test_secrets_are_not_in_a_repr(environment: pytest.MonkeyPatch):
    environment.setenv("SUPABASE_URL", PROJECT)
    environment.setenv("SUPABASE_SERVICE_ROLE_KEY", "sb_secret_hunter2")
    environment.setenv("SUPABASE_JWT_SECRET", "hunter2" * 8)
    settings = load_settings(ServerSettings)
    assert "hunter2" not in f"{settings!r} {settings} {settings.auth!r}"


def test_every_wrong_attribute_of_auth_settings_is_named():
    with pytest.raises(SettingsError) as refused:
        AuthSettings(
            issuer="",
            audience="",
            jwks_url="http://keys.example.com",
            algorithms=("HS256",),
            roles=("service_role",),
            leeway=31,
            legacy_secret=SecretStr("short"),
        )
    assert [problem.name for problem in refused.value.problems] == [
        "issuer",
        "audience",
        "jwks_url",
        "algorithms",
        "roles",
        "leeway",
        "legacy_secret",
    ]
    assert "short" not in str(refused.value)


@pytest.mark.parametrize(
    "wrong", [{"leeway": float("nan")}, {"leeway": -1}, {"algorithms": ()}, {"roles": ("",)}]
)
def test_auth_settings_fail_closed(wrong: dict[str, object]):
    with pytest.raises(SettingsError):
        AuthSettings(issuer=PROJECT, **wrong)


def test_the_key_set_is_below_the_issuer_unless_said_otherwise():
    assert AuthSettings(issuer=f"{PROJECT}/").jwks_url == f"{PROJECT}/.well-known/jwks.json"


def leaky(value: str) -> str:
    if value != "x":
        raise ValueError(f"{value} will not do")
    return value


class Inner(BaseModel):
    size: int = Field(ge=1)


class Rich(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="RICH_", env_nested_delimiter="__")

    count: int
    name: Annotated[str, AfterValidator(leaky)] = "x"
    hosts: list[str] = []
    ports: list[int] = []
    inner: Inner | None = None


def test_prefixes_and_nested_variables_are_named_as_they_are_set(environment: pytest.MonkeyPatch):
    environment.setenv("RICH_INNER__SIZE", "0")
    environment.setenv("RICH_PORTS", '[1, "hunter2"]')
    said = problems(Rich)
    assert said["RICH_COUNT"] == "missing"
    assert said["RICH_INNER__SIZE"] == "Input should be greater than or equal to 1"
    assert "hunter2" not in said["RICH_PORTS"]


def test_a_rule_that_repeats_the_value_is_replaced(environment: pytest.MonkeyPatch):
    environment.setenv("RICH_COUNT", "1")
    environment.setenv("RICH_NAME", "hunter2")
    assert problems(Rich) == {"RICH_NAME": "not a valid value"}


def test_a_variable_that_is_no_json_is_named_beside_the_others(environment: pytest.MonkeyPatch):
    environment.setenv("RICH_HOSTS", "[hunter2")
    environment.setenv("RICH_PORTS", "[1]")
    assert problems(Rich) == {"RICH_HOSTS": "must be valid JSON", "RICH_COUNT": "missing"}


def test_a_variable_that_is_no_json_is_named_alone_too(environment: pytest.MonkeyPatch):
    environment.setenv("RICH_COUNT", "1")
    environment.setenv("RICH_HOSTS", "[hunter2")
    assert problems(Rich) == {"RICH_HOSTS": "must be valid JSON"}


def bundle_rule(value: Bundle) -> Bundle:
    raise ValueError(f"no {value.items['a'][0]} in a bundle")


class Bundle(BaseModel):
    items: dict[str, list[str]]


class Bundled(BaseSettings):
    bundle: Annotated[Bundle, AfterValidator(bundle_rule)] = Field(
        validation_alias=AliasChoices("BUNDLE", AliasPath("PARCELS", 0))
    )


def test_a_value_deep_inside_a_variable_is_not_shown_either(environment: pytest.MonkeyPatch):
    environment.setenv("BUNDLE", '{"items": {"a": ["hunter2"]}}')
    assert problems(Bundled) == {"BUNDLE or PARCELS": "not a valid value"}


class Paired(BaseSettings):
    low: int = Field(default=2, validation_alias="PAIR_LOW")
    high: int = Field(default=1, validation_alias="PAIR_HIGH")

    @model_validator(mode="after")
    def ordered(self) -> Paired:
        if self.low > self.high:
            raise ValueError("PAIR_LOW must not exceed PAIR_HIGH")
        return self


def test_a_rule_over_several_variables_names_the_settings():
    assert problems(Paired) == {"Paired": "PAIR_LOW must not exceed PAIR_HIGH"}


def test_a_problem_is_a_value():
    assert SettingProblem("A", "missing") == SettingProblem("A", "missing")
