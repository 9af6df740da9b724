"""Keys in settings: each in its place, of its project and its role, and no secret where browsers look."""

from __future__ import annotations

import pytest

from sba_supabase import ProjectSettings, PublicSettings, ServerSettings, SettingsError, load_settings
from sba_supabase.api_keys import ApiKey, hosted_ref, is_of, is_secret, read_api_key
from tests.unit.supabase.issuer import b64, packed

REF = "abcdefghijklmnopqrst"
PROJECT = f"https://{REF}.supabase.co"
SECRET = "sb_" + "secret_hunter2"
PUBLISHABLE = "sb_publishable_hunter2"
URL, ANON = "NEXT_PUBLIC_SUPABASE_URL", "NEXT_PUBLIC_SUPABASE_ANON_KEY"
EITHER = f"{ANON} or NEXT_PUBLIC_SUPABASE_PUBLISHABLE_KEY"
SERVICE = "SUPABASE_SERVICE_ROLE_KEY or SUPABASE_SERVICE_KEY"


def legacy(role: str, ref: str | None = REF) -> str:
    claims = {
        "iss": "supabase",
        "role": role,
        "iat": 1,
        "exp": 4_000_000_000,
        **({"ref": ref} if ref else {}),
    }
    return f"{b64(packed({'alg': 'HS256', 'typ': 'JWT'}))}.{b64(packed(claims))}.{b64(b'hunter2')}"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in ("URL", "SERVICE_ROLE_KEY", "SERVICE_KEY", "ANON_KEY", "PUBLISHABLE_KEY"):
        monkeypatch.delenv(f"SUPABASE_{name}", raising=False)
        monkeypatch.delenv(f"NEXT_PUBLIC_SUPABASE_{name}", raising=False)
    return monkeypatch


def problems(cls: type[ProjectSettings | PublicSettings]) -> dict[str, str]:
    with pytest.raises(SettingsError) as refused:
        load_settings(cls)
    assert "hunter2" not in f"{refused.value} {refused.value.problems!r}"
    return {problem.name: problem.rule for problem in refused.value.problems}


@pytest.mark.parametrize("name", [ANON, "NEXT_PUBLIC_SUPABASE_PUBLISHABLE_KEY"])
@pytest.mark.parametrize("key", [PUBLISHABLE, legacy("anon")])
def test_public_settings_take_either_key_under_either_name(environment, name: str, key: str):
    environment.setenv(URL, PROJECT)
    environment.setenv(name, key)
    settings = load_settings(PublicSettings)
    assert (settings.url, settings.anon_key.get_secret_value()) == (PROJECT, key)
    assert key not in repr(settings)


def test_public_settings_never_read_the_servers_variables(environment):
    environment.setenv("SUPABASE_URL", PROJECT)
    environment.setenv("SUPABASE_ANON_KEY", PUBLISHABLE)
    assert problems(PublicSettings) == {URL: "missing", EITHER: "missing"}


@pytest.mark.parametrize("key", [SECRET, legacy("service_role")])
def test_a_service_key_in_a_public_variable_is_refused(environment, key: str):
    environment.setenv(URL, PROJECT)
    environment.setenv(ANON, key)
    said = problems(PublicSettings)
    assert set(said) == {ANON, EITHER}
    assert "rotate" in said[ANON]


@pytest.mark.parametrize("name", ["NEXT_PUBLIC_ANYTHING", "VITE_KEY", "EXPO_PUBLIC_SUPABASE_KEY"])
@pytest.mark.parametrize("key", [SECRET, legacy("service_role", "other")])
def test_a_server_does_not_start_either_while_a_public_variable_holds_one(environment, name: str, key: str):
    environment.setenv("SUPABASE_URL", PROJECT)
    environment.setenv("SUPABASE_SERVICE_KEY", SECRET)
    environment.setenv(name, key)
    assert set(problems(ServerSettings)) == {name}


def test_public_variables_that_hold_no_key_are_let_be(environment):
    environment.setenv("SUPABASE_URL", PROJECT)
    environment.setenv("NEXT_PUBLIC_TITLE", "{not json")
    environment.setenv(ANON, PUBLISHABLE)
    environment.setenv("EXPOSED", "{not json")
    assert load_settings(ProjectSettings).exposed == {}


@pytest.mark.parametrize(
    ("key", "rule"),
    [
        (PUBLISHABLE, "another role"),
        (legacy("anon"), "another role"),
        (legacy("authenticated"), "another role"),
        ("hunter2", "must be an sb_secret_"),
        ("a.b.c-hunter2", "must be an sb_secret_"),
        (SECRET + "\n", "must be an sb_secret_"),
        ("sb_" + "secret_!", "must be an sb_secret_"),
        (legacy("service_role", "other"), "another project"),
        (legacy("service_role", None), "another project"),
        ("é" + legacy("service_role"), "must be an sb_secret_"),
        (legacy("service_role") + "a" * 5000, "must be an sb_secret_"),
    ],
)
def test_a_service_key_is_of_this_project_and_of_that_role(environment, key: str, rule: str):
    environment.setenv("SUPABASE_URL", PROJECT)
    environment.setenv("SUPABASE_SERVICE_KEY", key)
    assert rule in problems(ServerSettings)[SERVICE]


def test_everything_wrong_with_public_settings_is_named_at_once(environment):
    environment.setenv(URL, "http://db.internal")
    environment.setenv(ANON, legacy("authenticated"))
    environment.setenv("VITE_SECRET", SECRET)
    assert set(problems(PublicSettings)) == {URL, EITHER, "VITE_SECRET"}


def test_a_wrong_project_is_told_beside_other_problems(environment):
    environment.setenv("SUPABASE_URL", PROJECT)
    environment.setenv("SUPABASE_ANON_KEY", legacy("anon", "other"))
    assert set(problems(ServerSettings)) == {"SUPABASE_ANON_KEY or SUPABASE_PUBLISHABLE_KEY", SERVICE}


def test_a_host_of_ones_own_takes_any_legacy_key(environment):
    environment.setenv("SUPABASE_URL", "https://supabase.example.com")
    environment.setenv("SUPABASE_SERVICE_ROLE_KEY", legacy("service_role", None))
    load_settings(ServerSettings)


def test_what_a_key_says_of_itself():
    assert read_api_key(legacy("anon")) == ApiKey("anon", is_token=True, ref=REF)
    assert read_api_key(PUBLISHABLE) == ApiKey("anon", is_token=False)
    assert is_secret(SECRET)
    assert not is_secret("hunter2")
    assert read_api_key(f"{b64(packed({'alg': 'none'}))}.{b64(packed({'role': 1}))}.{b64(b'x')}") is None
    assert is_of(ApiKey("anon", is_token=False), PROJECT)


@pytest.mark.parametrize(
    ("url", "ref"),
    [
        (PROJECT, REF),
        (f"https://{REF}.supabase.in", REF),
        (f"https://{REF}.supabase.co.evil.com", None),
        ("https://supabase.co", None),
        ("http://127.0.0.1:54321", None),
    ],
)
def test_only_a_hosted_address_names_its_project(url: str, ref: str | None):
    assert hosted_ref(url) == ref
