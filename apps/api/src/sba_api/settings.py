"""What the environment says: one class a command, so that each asks only for what it uses."""

from __future__ import annotations

import re
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from sba_supabase.settings import ProjectSettings

Network = IPv4Network | IPv6Network
_ORIGIN = re.compile(r"https?://([a-z0-9-]+(\.[a-z0-9-]+)*|\[[0-9a-f:]+\])(:[0-9]{1,5})?")
LogLevel = Literal["DEBUG", "INFO", "WARNING", "ERROR"]


def _split(value: object) -> object:
    if not isinstance(value, str):
        return value
    return tuple(part.strip() for part in value.split(",") if part.strip())


def _origin(value: str) -> str:
    if not _ORIGIN.fullmatch(value):
        raise ValueError("must be exact origins such as https://app.example.com, separated by commas")
    return value


def _network(value: object) -> object:
    return ip_network(value) if isinstance(value, str) else value


def _of_schemes(value: SecretStr, schemes: tuple[str, ...]) -> SecretStr:
    parts = urlsplit(value.get_secret_value())
    if parts.scheme not in schemes or not parts.hostname:
        raise ValueError(f"must be a {schemes[0]}:// address with a host")
    return value


def _postgres(value: SecretStr) -> SecretStr:
    return _of_schemes(value, ("postgresql", "postgres"))


def _redis(value: SecretStr) -> SecretStr:
    return _of_schemes(value, ("redis", "rediss"))


def _web(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.username or parts.password:
        raise ValueError("must be an http:// or https:// address without a password")
    return value.rstrip("/")


PostgresUrl = Annotated[SecretStr, AfterValidator(_postgres)]
RedisUrl = Annotated[SecretStr, AfterValidator(_redis)]
WebUrl = Annotated[str, AfterValidator(_web)]
Origins = Annotated[tuple[Annotated[str, AfterValidator(_origin)], ...], NoDecode, BeforeValidator(_split)]
Networks = Annotated[
    tuple[Annotated[Network, BeforeValidator(_network)], ...], NoDecode, BeforeValidator(_split)
]
PerMinute = Annotated[int, Field(ge=1, le=10_000_000)]


_RULES = SettingsConfigDict(
    env_prefix="SBA_",
    extra="ignore",
    frozen=True,
    populate_by_name=True,
    env_ignore_empty=True,
    hide_input_in_errors=True,
)


class _Environment(BaseSettings):
    model_config = _RULES


class Observed(_Environment):
    """What every long-running command needs to be seen."""

    log_level: LogLevel = "INFO"
    otlp_endpoint: WebUrl | None = Field(default=None, validation_alias="OTEL_EXPORTER_OTLP_ENDPOINT")
    trace_sample_ratio: float = Field(default=1.0, ge=0, le=1)


class ApiSettings(Observed, ProjectSettings):
    """`sba-api serve`: addresses, bounds, limits in requests a minute, what tokens are held to (`auth`)."""

    model_config = _RULES

    database_url: PostgresUrl
    redis_url: RedisUrl = Field(validation_alias="REDIS_URL")

    api_host: str = "127.0.0.1"
    api_port: int = Field(default=8000, ge=0, le=65_535)
    cors_origins: Origins = ()
    trusted_proxies: Networks = ()

    database_pool_size: int = Field(default=10, ge=1, le=200)
    database_pooler: bool = False
    request_timeout: float = Field(default=10.0, gt=0, le=300)
    shutdown_timeout: int = Field(default=10, ge=1, le=600)
    max_body_bytes: int = Field(default=2_097_152, ge=1_024, le=67_108_864)

    address_limit: PerMinute = 1_200
    tenant_limit: PerMinute = 600
    user_limit: PerMinute = 300
    rate_limit_nodes: int = Field(default=1, ge=1, le=10_000)


class WorkerSettings(Observed):
    """`sba-api worker`: the database as the application and as the queue's login."""

    database_url: PostgresUrl
    queue_database_url: PostgresUrl
    redis_url: RedisUrl = Field(validation_alias="REDIS_URL")
    worker_concurrency: int = Field(default=10, ge=1, le=200)
    shutdown_timeout: int = Field(default=30, ge=1, le=600)


class MigrateSettings(_Environment):
    """`sba-api migrate`: the login that may change the schema."""

    migration_database_url: PostgresUrl
