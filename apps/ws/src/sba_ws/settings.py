"""What the environment says."""

from __future__ import annotations

import re
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr
from pydantic_settings import NoDecode, SettingsConfigDict

from sba_supabase import ProjectSettings

Network = IPv4Network | IPv6Network
_ORIGIN = re.compile(r"https?://([a-z0-9-]+(\.[a-z0-9-]+)*|\[[0-9a-f:]+\])(:[0-9]{1,5})?")


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


class WsSettings(ProjectSettings):
    """`sba-ws serve`: addresses, who may connect from where, and what tokens are held to (`auth`)."""

    model_config = SettingsConfigDict(
        env_prefix="SBA_",
        extra="ignore",
        frozen=True,
        populate_by_name=True,
        env_ignore_empty=True,
        hide_input_in_errors=True,
    )

    database_url: PostgresUrl
    redis_url: RedisUrl = Field(validation_alias="REDIS_URL")

    ws_host: str = "127.0.0.1"
    ws_port: int = Field(default=8001, ge=0, le=65_535)
    cors_origins: Origins = ()
    trusted_proxies: Networks = ()

    database_pool_size: int = Field(default=10, ge=1, le=200)
    database_pooler: bool = False
    rate_limit_nodes: int = Field(default=1, ge=1, le=10_000)
    shutdown_timeout: int = Field(default=10, ge=1, le=600)
    ws_max_connections: int = Field(default=10_000, ge=1, le=1_000_000)
    ws_connects_per_address: int = Field(default=600, ge=1, le=100_000_000)
    ws_connects_per_user: int = Field(default=120, ge=1, le=100_000_000)

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    otlp_endpoint: WebUrl | None = Field(default=None, validation_alias="OTEL_EXPORTER_OTLP_ENDPOINT")
    trace_sample_ratio: float = Field(default=1.0, ge=0, le=1)
