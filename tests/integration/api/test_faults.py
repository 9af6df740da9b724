"""Dependencies that die while the service runs, and come back."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from sba_api.settings import ApiSettings
from sba_local.ports import free_port
from sba_local.postgres import EmbeddedPostgres
from sba_local.valkey import EmbeddedValkey
from tests.fixtures import databases
from tests.integration.api.conftest import Issuer, serving, until


class World:
    """Engines of this module alone, so that stopping them disturbs nobody."""

    def __init__(self, root: Path, issuer: Issuer) -> None:
        settings = {"fsync": "off", "synchronous_commit": "off"}
        self.postgres = EmbeddedPostgres(root / "postgres", port=free_port(), settings=settings)
        self.valkey = EmbeddedValkey(root / "valkey", port=free_port())
        self.issuer = issuer

    def start(self) -> None:
        self.postgres.start()
        self.valkey.start()
        name = databases.fresh_name()
        admin = self.postgres.url()
        asyncio.run(databases.bootstrap.bootstrap(admin, database=name, passwords=databases.PASSWORDS))
        self.urls = databases.urls_of(admin, name)
        asyncio.run(databases._migrate(self.urls))
        self.tenants = databases._seed(self.urls.admin, ("acme", "globex"))

    def start_what_stands_still(self) -> None:
        for engine in (self.postgres, self.valkey):
            with contextlib.suppress(RuntimeError):
                engine.start()

    def stop(self) -> None:
        self.valkey.stop()
        self.postgres.stop()

    def settings(self, **changes: object) -> ApiSettings:
        return ApiSettings(
            database_url=self.urls.app, redis_url=self.valkey.url, url=self.issuer.url, **changes
        )

    @property
    def member(self) -> dict[str, str]:
        return self.issuer.headers(self.tenants[0])


@pytest.fixture(scope="module")
def engines_of_our_own(tmp_path_factory: pytest.TempPathFactory, signing: Issuer) -> Iterator[World]:
    made = World(tmp_path_factory.mktemp("faults"), signing)
    made.start()
    yield made
    made.stop()


@pytest.fixture
def world(engines_of_our_own: World, issuer: Issuer) -> World:
    return engines_of_our_own


async def test_postgres_gone_is_a_503_with_retry_after_and_passes_by_itself(world):
    async with serving(world.settings()) as api:
        assert (await api.get("/v1/runs", headers=world.member)).status_code == 200
        await asyncio.to_thread(world.postgres.stop)
        try:
            for _ in range(3):
                answer = await api.get("/v1/runs", headers=world.member)
                assert answer.status_code == 503
                assert answer.json()["code"] == "database_unavailable"
                assert int(answer.headers["retry-after"]) >= 1
            ready = await api.get("/readyz")
            assert ready.status_code == 503
            assert ready.json()["missing"] == ["postgres"]
            assert (await api.get("/healthz")).status_code == 200
        finally:
            await asyncio.to_thread(world.postgres.start)

        async def recovered():
            return (await api.get("/v1/runs", headers=world.member)).status_code == 200

        await until(recovered)
        assert (await api.get("/readyz")).status_code == 200


async def test_connections_killed_while_idle_cost_at_most_retries(world):
    async with serving(world.settings()) as api:
        assert (await api.get("/v1/runs", headers=world.member)).status_code == 200
        with psycopg.connect(world.postgres.url(), autocommit=True) as connection:
            connection.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity where usename = 'sba_app'"
            )

        async def recovered():
            answer = await api.get("/v1/runs", headers=world.member)
            assert answer.status_code in {200, 503}
            return answer.status_code == 200

        await until(recovered)


async def test_the_service_starts_without_postgres_and_redis_and_recovers(world):
    await asyncio.to_thread(world.postgres.stop)
    await asyncio.to_thread(world.valkey.stop)
    try:
        async with serving(world.settings()) as api:
            assert (await api.get("/v1/runs", headers=world.member)).status_code == 503
            assert (await api.get("/readyz")).json()["missing"] == ["postgres", "redis"]
            await asyncio.to_thread(world.postgres.start)
            await asyncio.to_thread(world.valkey.start)

            async def ready():
                return (await api.get("/readyz")).json()["status"] == "ready"

            await until(ready)
            assert (await api.get("/v1/runs", headers=world.member)).status_code == 200
    finally:
        await asyncio.to_thread(world.start_what_stands_still)


async def test_redis_gone_leaves_every_request_answered_and_named_as_degraded(world):
    async with serving(world.settings()) as api:
        await asyncio.to_thread(world.valkey.stop)
        try:
            answers = await asyncio.gather(
                *(api.get("/v1/runs", headers=world.member) for _ in range(30)),
                api.post("/v1/runs", json={"prompt": "x"}, headers=world.member),
                api.post("/v1/knowledge/search", json={"query": "x"}, headers=world.member),
            )
            assert {answer.status_code for answer in answers} <= {200, 202}
            document = {"title": "x", "content": "y"}
            added = await api.post("/v1/knowledge/documents", json=document, headers=world.member)
            assert added.status_code == 201
            deleted = await api.delete(added.headers["location"], headers=world.member)
            assert deleted.status_code == 204
            ready = await api.get("/readyz")
            assert ready.status_code == 200
            assert ready.json()["status"] == "degraded"
            assert ready.json()["missing"] == ["redis"]
        finally:
            await asyncio.to_thread(world.valkey.start)

        async def ready_again():
            return (await api.get("/readyz")).json()["status"] == "ready"

        await until(ready_again)


async def test_redis_hanging_leaves_every_request_answered(world):
    async with serving(world.settings(request_timeout=5)) as api:
        assert (await api.get("/v1/runs", headers=world.member)).status_code == 200
        os.kill(world.valkey.pid, signal.SIGSTOP)
        try:
            answers = await asyncio.gather(*(api.get("/v1/runs", headers=world.member) for _ in range(20)))
            assert {answer.status_code for answer in answers} == {200}
        finally:
            os.kill(world.valkey.pid, signal.SIGCONT)


async def test_limits_are_still_counted_while_redis_is_away(world):
    async with serving(world.settings(user_limit=3)) as api:
        await asyncio.to_thread(world.valkey.stop)
        try:
            statuses = [(await api.get("/v1/runs", headers=world.member)).status_code for _ in range(5)]
        finally:
            await asyncio.to_thread(world.valkey.start)
    assert statuses[0] == 200
    assert statuses[-1] == 429


async def test_an_issuer_that_was_never_reached_is_a_503_and_is_asked_again(world):
    world.issuer.healthy = False
    async with serving(world.settings()) as api:
        answer = await api.get("/v1/runs", headers=world.member)
        assert answer.status_code == 503
        assert answer.json()["code"] == "keys_unavailable"
        ready = await api.get("/readyz")
        assert ready.status_code == 503
        assert ready.json()["missing"] == ["jwks"]
        world.issuer.healthy = True

        async def ready_again():
            return (await api.get("/readyz")).json()["status"] == "ready"

        await until(ready_again)
        assert (await api.get("/v1/runs", headers=world.member)).status_code == 200
        world.issuer.healthy = False
        assert (await api.get("/readyz")).json()["status"] == "ready"


async def test_a_login_that_steps_around_row_level_security_is_refused_at_start(world):
    unsafe = world.settings().model_copy(
        update={"database_url": type(world.settings().database_url)(world.urls.admin)}
    )
    with pytest.raises(Exception, match="refusing to serve"):
        async with serving(unsafe):
            pass
