"""What the environment says: one class a command, so that each asks only for what it uses."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from sba_supabase.settings import ProjectSettings
from sba_supabase.variables import LogLevel, Networks, Origins, PostgresUrl, RedisUrl, WebUrl

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
    run_limit: PerMinute = 120
    document_limit: PerMinute = 120
    search_limit: PerMinute = 240
    tool_limit: PerMinute = 120
    rate_limit_outage: Literal["open", "closed", "local"] = "local"
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
