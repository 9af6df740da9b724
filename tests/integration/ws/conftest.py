"""A station: one node on real engines, with a token issuer of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from sba_db import Database
from sba_local.identity import Issuer
from sba_resilience.redis import RedisSettings, open_redis
from sba_ws.limits import Limits
from sba_ws.settings import WsSettings
from tests.fixtures.databases import Urls
from tests.integration.ws.harness import Station, publishing_keys

BRISK = Limits(
    handshake_timeout=3.0,
    linger=0.3,
    close_timeout=1.0,
    poll_interval=0.4,
    outage_poll_interval=0.2,
    membership_interval=0.3,
    expiry_notice=60.0,
    drain_grace=0.3,
)
"""The shipped bounds with shorter waits."""


@pytest.fixture
async def make_station(
    tmp_path: Path,
    database_urls: Urls,
    database: Database,
    redis_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[Callable[..., Any]]:
    stations: list[Station] = []
    keys = publishing_keys(issuer := Issuer.load(tmp_path, "http://127.0.0.1:9"))
    port = await keys.__aenter__()
    issuer.issuer = f"http://127.0.0.1:{port}/auth/v1"
    own = open_redis(RedisSettings(url=redis_url, command_timeout=2.0))
    redis = await own.__aenter__()

    async def make(*, limits: Limits = BRISK, **environment: str) -> Station:
        given = {
            "SBA_DATABASE_URL": database_urls.app,
            "REDIS_URL": redis_url,
            "SUPABASE_URL": f"http://127.0.0.1:{port}",
            "SBA_WS_PORT": "0",
            **environment,
        }
        for name, value in given.items():
            monkeypatch.setenv(name, value)
        station = Station(WsSettings(), limits, issuer, database, redis)  # type: ignore[call-arg]  # environment
        await station.start()
        stations.append(station)
        return station

    yield make
    for station in stations:
        await station.close()
    await own.__aexit__(None, None, None)
    await keys.__aexit__(None, None, None)


@pytest.fixture
async def station(make_station: Callable[..., Any]) -> Station:
    made: Station = await make_station()
    return made
