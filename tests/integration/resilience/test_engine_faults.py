"""What callers see while the engine is full, read-only, forgetful or refuses the password."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from sba_resilience.redis import RedisClient, RedisSettings, RedisUnavailable, open_redis
from sba_telemetry import use_meter_provider
from tests.integration.resilience.faults import Server, eventually

ADD = "return redis.call('INCRBY', KEYS[1], ARGV[1])"


@pytest.fixture
async def redis(server: Server) -> AsyncIterator[RedisClient]:
    async with open_redis(RedisSettings(server.url, command_timeout=5.0)) as client:
        yield client


@pytest.fixture
async def admin(server: Server) -> AsyncIterator[RedisClient]:
    async with open_redis(RedisSettings(server.url, command_timeout=5.0)) as client:
        yield client


async def reason_of(redis: RedisClient, *words: str) -> str:
    try:
        await redis.execute(*words)
    except RedisUnavailable as error:
        return error.reason
    return "answered"


async def does(redis: RedisClient, *words: str) -> bool:
    return await reason_of(redis, *words) == "answered"


async def test_a_full_server_that_may_not_evict_refuses_writes_and_serves_reads(redis: RedisClient) -> None:
    await redis.execute("SET", "kept", "1")
    await redis.execute("CONFIG", "SET", "maxmemory-policy", "noeviction", "maxmemory", "1")
    add = redis.script(ADD)
    with pytest.raises(RedisUnavailable, match="OOM") as caught:
        await add(["n"], [1])
    assert caught.value.reason == "not_ready"
    assert await reason_of(redis, "SET", "k", "v") == "not_ready"
    assert await redis.execute("GET", "kept") == b"1"
    assert redis.state == "closed"
    await redis.execute("CONFIG", "SET", "maxmemory", "0")
    assert await add(["n"], [1]) == 1


async def test_a_full_server_that_evicts_keeps_serving(redis: RedisClient) -> None:
    info = str(await redis.execute("INFO", "memory"), "ascii")
    used = int(info.partition("used_memory:")[2].split()[0])
    await redis.execute("CONFIG", "SET", "maxmemory-policy", "allkeys-lru", "maxmemory", used + 500_000)
    await asyncio.gather(*(redis.execute("SET", f"k:{n}", "x" * 1000) for n in range(3000)))
    stats = str(await redis.execute("INFO", "stats"), "ascii")
    assert int(stats.partition("evicted_keys:")[2].split()[0]) > 0
    assert await redis.execute("GET", "k:2999") == b"x" * 1000
    assert await redis.script(ADD)(["n"], [2]) == 2
    assert redis.state == "closed"


async def test_a_replica_refuses_writes_by_name_and_heals_when_it_is_promoted(
    redis: RedisClient, server: Server, tmp_path: Path
) -> None:
    await redis.execute("SET", "before", "1")
    await redis.execute("CONFIG", "SET", "repl-diskless-sync-delay", "0")
    replica = Server(tmp_path / "replica")
    replica.start()
    async with open_redis(RedisSettings(replica.url, command_timeout=5.0)) as reader:
        await reader.execute("CONFIG", "SET", "masterauth", server.password)
        await reader.execute("REPLICAOF", "127.0.0.1", server.port or 0)
        await eventually(lambda: has(reader, "before"))
        for _ in range(20):
            with pytest.raises(RedisUnavailable, match="READONLY"):
                await reader.execute("SET", "k", "v")
            with pytest.raises(RedisUnavailable, match="READONLY"):
                await reader.script(ADD)(["n"], [1])
        assert await has(reader, "before")
        assert reader.state == "closed", "a replica is no outage"
        await reader.execute("REPLICAOF", "NO", "ONE")
        assert await reader.execute("SET", "k", "v") == b"OK"
    replica.engine.stop()


async def has(redis: RedisClient, key: str) -> bool:
    try:
        return bool(await redis.execute("GET", key))
    except RedisUnavailable:
        return False


async def test_a_changed_password_is_named_in_errors_and_logs_shown_in_neither_and_heals(
    redis: RedisClient, admin: RedisClient, server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    await admin.execute("CONFIG", "SET", "requirepass", "another-hunter2")
    await admin.execute("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    await eventually(lambda: says(redis, "authentication"))
    await eventually(lambda: says(redis, "breaker_open"))
    messages = [str(record.msg) for record in caplog.records]
    assert any("authentication" in message for message in messages)
    assert len(messages) < 5, "an outage is logged when it begins, not with every attempt"
    shown = " ".join([*messages, repr(redis)])
    assert "another-hunter2" not in shown
    assert server.password not in shown
    await admin.execute("CONFIG", "SET", "requirepass", server.password)
    await eventually(lambda: does(redis, "PING"))


async def says(redis: RedisClient, reason: str) -> bool:
    return await reason_of(redis, "PING") == reason


@pytest.mark.parametrize("login", [":wrong-hunter2", "nobody:wrong-hunter2", ""])
async def test_a_wrong_login_is_authentication_and_never_shown(server: Server, login: str) -> None:
    parts = urlsplit(server.url)
    place = f"{parts.hostname}:{parts.port}"
    settings = RedisSettings(urlunsplit(parts._replace(netloc=f"{login}@{place}" if login else place)))
    async with open_redis(settings) as redis:
        with pytest.raises(RedisUnavailable) as caught:
            await redis.ping()
        assert caught.value.reason == "authentication"
        assert "hunter2" not in f"{caught.value!r} {caught.value.__cause__!r} {redis!r} {settings!r}"


async def test_forgotten_scripts_are_sent_again_whoever_is_calling_them(
    redis: RedisClient, admin: RedisClient
) -> None:
    add = redis.script(ADD)
    for _ in range(20):
        *_, forgotten = await asyncio.gather(
            *(add(["sum"], [1]) for _ in range(10)), admin.execute("SCRIPT", "FLUSH")
        )
        assert forgotten == b"OK"
    assert await redis.execute("GET", "sum") == b"200", "each call counted once"


async def test_a_connection_killed_in_flight_costs_its_callers_one_error_and_repeats_nothing(
    redis: RedisClient, admin: RedisClient
) -> None:
    counted, lost = 0, 0
    for _ in range(20):
        connection = await redis.execute("CLIENT", "ID")
        calls = [redis.execute("INCR", "n") for _ in range(50)]
        outcomes = await asyncio.gather(
            *calls, admin.execute("CLIENT", "KILL", "ID", connection), return_exceptions=True
        )
        assert {type(outcome) for outcome in outcomes} <= {int, RedisUnavailable}
        counted += sum(isinstance(outcome, int) for outcome in outcomes[:-1])
        lost += sum(isinstance(outcome, RedisUnavailable) for outcome in outcomes)
        await eventually(lambda: does(redis, "PING"))
    assert counted <= int(await redis.execute("GET", "n")) <= counted + lost
    assert redis.state == "closed"


async def test_three_hundred_callers_on_the_defaults_see_no_error_and_share_a_connection(
    server: Server, admin: RedisClient
) -> None:
    async with open_redis(RedisSettings(server.url)) as redis:
        add = redis.script(ADD)
        answers = await asyncio.gather(*(add(["n"], [1]) for _ in range(300)))
        assert sorted(answers) == list(range(1, 301))
        clients = str(await admin.execute("CLIENT", "LIST"), "utf-8").splitlines()
        assert len(clients) == 2, "theirs and the administrator's"


async def test_what_happens_is_counted(server: Server) -> None:
    reader = InMemoryMetricReader()
    use_meter_provider(MeterProvider([reader]))
    try:
        before = counts(reader)
        async with open_redis(RedisSettings(server.url)) as redis:
            await asyncio.gather(*(redis.execute("ECHO", "x") for _ in range(50)))
            server.kill()
            await eventually(lambda: says(redis, "breaker_open"))
        after = counts(reader)
    finally:
        use_meter_provider(None)
    grown = {line: after[line] - before.get(line, 0) for line in after}
    assert grown["sba.redis.commands", ""] >= 50
    assert 1 <= grown["sba.redis.writes", ""] < 10, "commands of one turn leave together"
    assert grown["sba.redis.connections", "ok"] == 1
    assert grown["sba.redis.connections", "refused"] >= 1
    assert grown["sba.redis.failures", "breaker_open"] >= 1


def counts(reader: InMemoryMetricReader) -> dict[tuple[str, str], float]:
    """Totals by name and label."""
    data = reader.get_metrics_data()
    metrics = [
        metric
        for resource in (data.resource_metrics if data else ())
        for scope in resource.scope_metrics
        for metric in scope.metrics
        if metric.name.startswith("sba.redis.")
    ]
    return {
        (metric.name, " ".join(str(value) for value in (point.attributes or {}).values())): point.value
        for metric in metrics
        for point in metric.data.data_points
    }
