"""Everything this service keeps open, opened and closed in one place."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import httpx

from sba_db import Database, DatabaseError, DatabaseSettings, UnsafeRole, open_database
from sba_ratelimit import Limiter
from sba_resilience.redis import RedisClient, RedisSettings, open_redis
from sba_supabase import ENTER_TENANT, KeySet, TokenVerifier
from sba_telemetry.logs import get_logger
from sba_telemetry.sdk import Telemetry, configure_telemetry
from sba_ws.errors import StartupFailed
from sba_ws.settings import WsSettings

_log = get_logger(__name__)

_HTTP_TIMEOUT = 2.0


@dataclass(frozen=True, slots=True)
class Resources:
    """What the node is wired from."""

    telemetry: Telemetry
    database: Database
    redis: RedisClient
    keys: KeySet
    verifier: TokenVerifier
    limiter: Limiter


@asynccontextmanager
async def open_resources(
    settings: WsSettings, *, wall_clock: Callable[[], float]
) -> AsyncIterator[Resources]:
    """Open everything; no dependency has to be up yet.

    Raises:
        StartupFailed: The database login could step around row level security.
    """
    async with AsyncExitStack() as stack:
        telemetry = configure_telemetry(
            service="sba-ws", otlp_endpoint=settings.otlp_endpoint, sample_ratio=settings.trace_sample_ratio
        )
        stack.callback(telemetry.shutdown)
        database = await stack.enter_async_context(open_database(_database(settings)))
        await _refuse_unsafe_role(database)
        redis_settings = RedisSettings(url=settings.redis_url.get_secret_value(), client_name="sba-ws")
        redis = await stack.enter_async_context(open_redis(redis_settings, probe=True))
        http = await stack.enter_async_context(httpx.AsyncClient(timeout=_HTTP_TIMEOUT, trust_env=False))
        keys = KeySet(settings.auth.jwks_url, http=http)
        stack.push_async_callback(keys.aclose)
        yield Resources(
            telemetry=telemetry,
            database=database,
            redis=redis,
            keys=keys,
            verifier=TokenVerifier(settings.auth, keys=keys, clock=wall_clock),
            limiter=Limiter(redis, nodes=settings.rate_limit_nodes),
        )


def _database(settings: WsSettings) -> DatabaseSettings:
    return DatabaseSettings(
        url=settings.database_url.get_secret_value(),
        max_size=settings.database_pool_size,
        pooler=settings.database_pooler,
        enter_member=ENTER_TENANT,
        application_name="sba-ws",
    )


async def _refuse_unsafe_role(database: Database) -> None:
    try:
        await database.verify_role()
    except UnsafeRole as error:
        raise StartupFailed(str(error)) from None
    except DatabaseError as error:
        _log.warning("role_unverified", reason=type(error).__name__)
