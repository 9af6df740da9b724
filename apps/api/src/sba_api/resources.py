"""Everything the API keeps open, opened and closed in one place."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import cast
from uuid import UUID

import httpx
from starlette.types import Scope

from sba_agents.registry import ToolRegistry, default_registry
from sba_api.limits import CallerLimits, caller_limits
from sba_api.readiness import Probe
from sba_api.settings import ApiSettings
from sba_cache import Cache
from sba_db.database import Database, DatabaseSettings, open_database
from sba_db.errors import DatabaseError, UnsafeRole
from sba_ratelimit import Limiter
from sba_resilience.redis import RedisClient, RedisSettings, open_redis
from sba_supabase.auth.keys import KeySet
from sba_supabase.auth.tokens import TokenVerifier
from sba_supabase.tenant import ENTER_TENANT
from sba_telemetry import get_logger
from sba_telemetry.sdk import Telemetry, configure_telemetry

_HTTP_TIMEOUT = 2.0
_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Resources:
    """What routes and middleware may use."""

    settings: ApiSettings
    telemetry: Telemetry
    database: Database
    redis: RedisClient
    verifier: TokenVerifier
    limiter: Limiter
    limits: Callable[[UUID, UUID, str], CallerLimits]
    cache: Cache
    tools: ToolRegistry
    probe: Probe


def limiter_of(scope: Scope) -> Limiter:
    """The limiter of the app that answers this request."""
    return resources_of(scope).limiter


def resources_of(scope: Scope) -> Resources:
    """The resources of the app that answers this request."""
    return cast("Resources", scope["app"].state.resources)


@asynccontextmanager
async def open_resources(settings: ApiSettings) -> AsyncIterator[Resources]:
    """Open everything; no dependency has to be up yet, requests and `/readyz` say what is missing."""
    async with AsyncExitStack() as stack:
        telemetry = configure_telemetry(
            service="sba-api",
            otlp_endpoint=settings.otlp_endpoint,
            sample_ratio=settings.trace_sample_ratio,
        )
        stack.callback(telemetry.shutdown)
        database = await stack.enter_async_context(open_database(_database_settings(settings)))
        await _refuse_unsafe_role(database)
        redis = await stack.enter_async_context(
            open_redis(RedisSettings(url=settings.redis_url.get_secret_value()), probe=True)
        )
        http = await stack.enter_async_context(httpx.AsyncClient(timeout=_HTTP_TIMEOUT, trust_env=False))
        keys = KeySet(settings.auth.jwks_url, http=http)
        stack.push_async_callback(keys.aclose)
        yield Resources(
            settings=settings,
            telemetry=telemetry,
            database=database,
            redis=redis,
            verifier=TokenVerifier(settings.auth, keys=keys),
            limiter=Limiter(redis, nodes=settings.rate_limit_nodes),
            limits=caller_limits(settings),
            cache=Cache(redis),
            tools=default_registry(),
            probe=Probe(database, redis, keys),
        )


def _database_settings(settings: ApiSettings) -> DatabaseSettings:
    return DatabaseSettings(
        url=settings.database_url.get_secret_value(),
        max_size=settings.database_pool_size,
        pooler=settings.database_pooler,
        enter_member=ENTER_TENANT,
    )


async def _refuse_unsafe_role(database: Database) -> None:
    try:
        await database.verify_role()
    except UnsafeRole:
        raise
    except DatabaseError as error:
        _log.warning("role.unverified", reason=type(error).__name__)
