"""What the environment says."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from sba_supabase import ProjectSettings
from sba_supabase.variables import LogLevel, Networks, Origins, PostgresUrl, RedisUrl, WebUrl


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
    ws_events_per_user: int = Field(default=2_400, ge=1, le=100_000_000)
    ws_events_per_tenant: int = Field(default=24_000, ge=1, le=100_000_000)

    log_level: LogLevel = "INFO"
    otlp_endpoint: WebUrl | None = Field(default=None, validation_alias="OTEL_EXPORTER_OTLP_ENDPOINT")
    trace_sample_ratio: float = Field(default=1.0, ge=0, le=1)
