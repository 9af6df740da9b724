"""What a service must be told about its Supabase project, and one message for all that is missing."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Final, Protocol

from pydantic import (
    AfterValidator,
    AliasChoices,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from sba_supabase.addresses import plain_url, project_url, service_url
from sba_supabase.api_keys import ApiKey, holds_secret, is_of, read_api_key
from sba_supabase.errors import SettingProblem, SettingsError
from sba_supabase.loading import EXPOSED, KEYED_BY_VARIABLE, Exposed, load_settings, without_values

__all__ = [
    "AuthSettings",
    "ProjectSettings",
    "PublicProject",
    "PublicSettings",
    "ServerSettings",
    "load_settings",
]

SUPPORTED_ALGORITHMS: Final = ("ES256", "RS256", "EdDSA")
_LONGEST_LEEWAY = 30.0
_SHORTEST_SECRET = 32
_PUBLIC = ("-----BEGIN", "{", "ssh-")
_SECRET_RULE = f"must be at least {_SHORTEST_SECRET} bytes, and no public key"
_FORBIDDEN_ROLES = frozenset({"service_role", "anon", "supabase_admin", "postgres"})


def _is_shared_secret(text: str) -> bool:
    """Whether two parties can share it as a secret: it is long enough, and no public key, which all know."""
    return len(text.encode()) >= _SHORTEST_SECRET and not text.lstrip().startswith(_PUBLIC)


def _legacy_secret(value: SecretStr) -> SecretStr:
    if not _is_shared_secret(value.get_secret_value()):
        raise ValueError(_SECRET_RULE)
    return value


def _read(value: SecretStr, *, role: str, kind: str) -> ApiKey:
    key = read_api_key(value.get_secret_value())
    if key is None:
        raise ValueError(f"must be {kind}")
    if key.role != role:
        raise ValueError(f"must be {kind}: this key has another role")
    return key


def _secret_key(value: SecretStr) -> SecretStr:
    _read(value, role="service_role", kind="an sb_secret_… or a legacy service_role key")
    return value


def _public_key(value: SecretStr) -> SecretStr:
    _read(value, role="anon", kind="an sb_publishable_… or a legacy anon key")
    return value


def _not_exposed(value: SecretStr) -> SecretStr:
    if holds_secret(value.get_secret_value()):
        raise ValueError("holds a secret key, and variables of this name reach browsers: rotate the key")
    return value


ProjectUrl = Annotated[str, AfterValidator(project_url)]
SecretKey = Annotated[SecretStr, AfterValidator(_secret_key)]
PublicKey = Annotated[SecretStr, AfterValidator(_public_key)]
_Exposed = Annotated[SecretStr, AfterValidator(_not_exposed)]


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthSettings:
    """What a token is held to.

    Attributes:
        issuer: the exact `iss`.
        audience: the exact `aud`, a single string.
        jwks_url: where the signing keys are published; below the issuer when empty.
        algorithms: allowed asymmetric algorithms, out of ES256, RS256 and EdDSA.
        roles: allowed values of `role`; the first stands for an absent one.
        leeway: seconds by which an `iat` or `nbf` may lie ahead, at most 30; `exp` has none.
        legacy_secret: the project's HS256 secret; HS256 is refused without it.

    Raises:
        SettingsError: naming every attribute that is wrong.
    """

    issuer: str
    audience: str = "authenticated"
    jwks_url: str = ""
    algorithms: tuple[str, ...] = SUPPORTED_ALGORITHMS
    roles: tuple[str, ...] = ("authenticated",)
    leeway: float = 10.0
    legacy_secret: SecretStr | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if not self.jwks_url:
            object.__setattr__(self, "jwks_url", f"{self.issuer.rstrip('/')}/.well-known/jwks.json")
        problems = tuple(SettingProblem(name, rule) for name, rule in self._problems())
        if problems:
            raise SettingsError(problems)

    def _problems(self) -> list[tuple[str, str]]:
        rules = (
            ("issuer", bool(self.issuer), "must not be empty"),
            ("audience", bool(self.audience), "must not be empty"),
            (
                "jwks_url",
                _passes(self.jwks_url),
                "must be an https URL (http on loopback only) without credentials",
            ),
            ("algorithms", self._algorithms_hold(), f"must be some of {', '.join(SUPPORTED_ALGORITHMS)}"),
            ("roles", self._roles_hold(), "must name user roles, never a service's or nobody's"),
            ("leeway", self._leeway_holds(), f"must lie between 0 and {_LONGEST_LEEWAY:.0f} seconds"),
            ("legacy_secret", self._secret_holds(), _SECRET_RULE),
        )
        return [(name, rule) for name, holds, rule in rules if not holds]

    def _algorithms_hold(self) -> bool:
        return bool(self.algorithms) and set(self.algorithms) <= set(SUPPORTED_ALGORITHMS)

    def _roles_hold(self) -> bool:
        return bool(self.roles) and all(self.roles) and _FORBIDDEN_ROLES.isdisjoint(self.roles)

    def _leeway_holds(self) -> bool:
        return math.isfinite(self.leeway) and 0 <= self.leeway <= _LONGEST_LEEWAY

    def _secret_holds(self) -> bool:
        secret = self.legacy_secret
        return secret is None or _is_shared_secret(secret.get_secret_value())


def _passes(url: str) -> bool:
    try:
        service_url(url)
    except ValueError:
        return False
    return True


class PublicProject(Protocol):
    """The two things every client of a project needs, neither of them secret."""

    @property
    def url(self) -> str:
        """The project's address."""
        ...

    @property
    def anon_key(self) -> SecretStr | None:
        """Its publishable or legacy anon key."""
        ...


class _Settings(BaseSettings):
    """Settings that are refused while a secret key is in a variable that reaches browsers.

    Attributes:
        exposed: the variables of such names; checked, then forgotten.
    """

    model_config = SettingsConfigDict(
        env_ignore_empty=True, extra="ignore", frozen=True, hide_input_in_errors=True
    )

    exposed: Annotated[Mapping[str, _Exposed], AfterValidator(lambda _: {}), KEYED_BY_VARIABLE] = Field(
        default={}, validation_alias=EXPOSED, repr=False, exclude=True
    )

    def __init__(self, **values: Any) -> None:  # noqa: ANN401 - as the base class has it
        try:
            super().__init__(**values)
        except ValidationError as error:
            shown = without_values(error)
        else:
            return
        # Raised out here, so that no traceback or reporter finds the values in the error it came from.
        raise shown

    @field_validator("anon_key", "service_role_key", check_fields=False)
    @classmethod
    def _of_this_project(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        key = read_api_key(value.get_secret_value()) if value is not None else None
        if key is not None and "url" in info.data and not is_of(key, info.data["url"]):
            raise ValueError("is the key of another project than the URL's")
        return value

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The usual sources, and before them the variables that reach browsers."""
        usual = (init_settings, env_settings, dotenv_settings, file_secret_settings)
        return (Exposed(settings_cls, env_settings, dotenv_settings), *usual)


class ProjectSettings(_Settings):
    """What a service needs to verify tokens: no key of the project.

    Attributes:
        url: the project's address (`SUPABASE_URL`).
        anon_key: the publishable or legacy anon key, for clients that act as their user
            (`SUPABASE_ANON_KEY`, or `SUPABASE_PUBLISHABLE_KEY`).
        issuer: the exact `iss` where it is not `<url>/auth/v1`, as behind a custom domain
            (`SUPABASE_JWT_ISSUER`).
        audience: the exact `aud` (`SUPABASE_JWT_AUDIENCE`).
        legacy_secret: the HS256 secret of a project that still signs with one (`SUPABASE_JWT_SECRET`).
    """

    url: ProjectUrl = Field(validation_alias="SUPABASE_URL")
    anon_key: PublicKey | None = Field(
        default=None, validation_alias=AliasChoices("SUPABASE_ANON_KEY", "SUPABASE_PUBLISHABLE_KEY")
    )
    issuer: Annotated[str, AfterValidator(plain_url)] | None = Field(
        default=None, validation_alias="SUPABASE_JWT_ISSUER"
    )
    audience: str = Field(default="authenticated", min_length=1, validation_alias="SUPABASE_JWT_AUDIENCE")
    legacy_secret: Annotated[SecretStr, AfterValidator(_legacy_secret)] | None = Field(
        default=None, validation_alias="SUPABASE_JWT_SECRET"
    )

    @property
    def auth(self) -> AuthSettings:
        """What this project's tokens are held to."""
        base = f"{self.url}/auth/v1"
        return AuthSettings(
            issuer=self.issuer or base,
            audience=self.audience,
            jwks_url=f"{base}/.well-known/jwks.json",
            legacy_secret=self.legacy_secret,
        )


class ServerSettings(ProjectSettings):
    """What a service needs to act on its project with the secret key.

    Attributes:
        service_role_key: an `sb_secret_…` or legacy key (`SUPABASE_SERVICE_ROLE_KEY`, or
            `SUPABASE_SERVICE_KEY`).
    """

    service_role_key: SecretKey = Field(
        validation_alias=AliasChoices("SUPABASE_SERVICE_ROLE_KEY", "SUPABASE_SERVICE_KEY")
    )


class PublicSettings(_Settings):
    """What may be known to browsers, and all that code running there is given.

    Attributes:
        url: the project's address (`NEXT_PUBLIC_SUPABASE_URL`).
        anon_key: the legacy anon or the publishable key (`NEXT_PUBLIC_SUPABASE_ANON_KEY`, or
            `NEXT_PUBLIC_SUPABASE_PUBLISHABLE_KEY`).
    """

    url: ProjectUrl = Field(validation_alias="NEXT_PUBLIC_SUPABASE_URL")
    anon_key: PublicKey = Field(
        validation_alias=AliasChoices("NEXT_PUBLIC_SUPABASE_ANON_KEY", "NEXT_PUBLIC_SUPABASE_PUBLISHABLE_KEY")
    )
