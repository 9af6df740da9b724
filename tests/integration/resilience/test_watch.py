"""Key watches on a real server: what is heard, and when silence stops meaning anything."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit, urlunsplit

import pytest

from sba_resilience import Deadline, DeadlineExceeded
from sba_resilience.redis import KeyWatch, RedisClient, RedisSettings, RedisUnavailable, open_redis, watch
from tests.integration.resilience.faults import Server, eventually


def ignore(_key: str) -> None:
    """Hear of it and do nothing."""


def warnings(caplog: pytest.LogCaptureFixture, field: str) -> list[str]:
    """One field of each warning."""
    return [record.msg[field] for record in caplog.records if record.levelname == "WARNING"]  # type: ignore[index]


def is_live(watched: KeyWatch) -> bool:
    return watched.clock() < watched.live_until


async def watch_connections(redis: RedisClient) -> list[str]:
    """Ids of the connections on which the server tracks keys."""
    listed = str(await redis.execute("CLIENT", "LIST"), "utf-8")
    clients = [dict(word.partition("=")[::2] for word in line.split()) for line in listed.splitlines()]
    return [client["id"] for client in clients if "B" in client["flags"]]


async def none_watch(redis: RedisClient) -> bool:
    return not await watch_connections(redis)


async def kill_watches(redis: RedisClient) -> None:
    for connection in await watch_connections(redis):
        await redis.execute("CLIENT", "KILL", "ID", connection)


@pytest.fixture
async def other(redis_url: str) -> AsyncIterator[RedisClient]:
    """Somebody else's client."""
    async with open_redis(RedisSettings(redis_url, command_timeout=2.0)) as client:
        yield client


async def test_every_kind_of_change_is_heard_whoever_makes_it(redis: RedisClient, other: RedisClient) -> None:
    heard: list[str] = []
    watched = redis.watch("w:", heard.append)
    await watched.ready()
    await other.execute("SET", "w:theirs", "1")
    await redis.execute("SET", "w:mine", "1")
    await other.execute("MSET", "w:one", "1", "elsewhere", "1")
    await redis.script("redis.call('SET', KEYS[1], 1)")(["w:script"])
    await eventually(lambda: set(heard) == {"w:theirs", "w:mine", "w:one", "w:script"})
    heard.clear()
    await other.execute("DEL", "w:theirs")
    await other.execute("PEXPIRE", "w:mine", 1)
    await eventually(lambda: heard.count("w:theirs") == 1 and heard.count("w:mine") == 2)
    assert is_live(watched)
    assert watched.epoch == 1


async def test_a_key_that_is_not_text_is_told_without_loss(redis: RedisClient) -> None:
    heard: list[str] = []
    await redis.watch("w:", heard.append).ready()
    await redis.execute("SET", b"w:\xff", "1")
    await eventually(lambda: bool(heard))
    assert heard[0].encode("utf-8", "surrogateescape") == b"w:\xff"


async def test_an_evicted_key_is_heard_of(server: Server) -> None:
    heard: list[str] = []
    async with open_redis(RedisSettings(server.url, command_timeout=2.0)) as redis:
        await redis.watch("w:", heard.append).ready()
        await redis.execute("SET", "w:old", "1")
        await eventually(lambda: bool(heard))
        heard.clear()
        await redis.execute("CONFIG", "SET", "maxmemory-policy", "allkeys-lru", "maxmemory", "1")
        with pytest.raises(RedisUnavailable, match="OOM"):
            await redis.execute("SET", "new", "1")
        await eventually(lambda: heard == ["w:old"])


async def test_watches_of_any_prefixes_share_one_connection(redis: RedisClient) -> None:
    heard: dict[str, list[str]] = {}
    made: list[KeyWatch] = []
    for name, prefix in [("a", "a:"), ("b", "b:"), ("b again", "b:"), ("b within", "b:c:")]:
        made.append(redis.watch(prefix, heard.setdefault(name, []).append))
        await made[-1].ready()
    assert len(await watch_connections(redis)) == 1
    assert [watched.epoch for watched in made] == [1, 1, 1, 1], "a further prefix leaves no gap"
    await redis.execute("MSET", "a:1", "", "b:1", "", "b:c:1", "")
    await eventually(lambda: len(heard["b within"]) == 1 and len(heard["a"]) == 1)
    assert {name: sorted(keys) for name, keys in heard.items()} == {
        "a": ["a:1"],
        "b": ["b:1", "b:c:1"],
        "b again": ["b:1", "b:c:1"],
        "b within": ["b:c:1"],
    }


async def test_a_wider_prefix_is_tracked_in_place_of_the_narrow_one_and_the_gap_is_counted(
    redis: RedisClient,
) -> None:
    heard: list[str] = []
    narrow = redis.watch("w:x:", ignore)
    await narrow.ready()
    before = narrow.epoch
    wide = redis.watch("w:", heard.append)
    await wide.ready()
    await narrow.ready()
    assert narrow.epoch > before
    await redis.execute("MSET", "w:x:1", "", "w:y", "")
    await eventually(lambda: sorted(heard) == ["w:x:1", "w:y"])


async def test_a_closed_watch_hears_nothing_and_the_connection_ends_with_the_last(redis: RedisClient) -> None:
    heard: list[str] = []
    closed, kept = redis.watch("w:", heard.append), redis.watch("k:", ignore)
    await closed.ready()
    closed.close()
    assert not is_live(closed)
    with pytest.raises(RedisUnavailable, match="closed"):
        await closed.ready()
    await redis.execute("SET", "w:1", "1")
    kept.close()
    kept.close()
    await eventually(lambda: none_watch(redis))
    assert heard == []
    again = redis.watch("w:", heard.append)
    await again.ready()
    await redis.execute("SET", "w:2", "1")
    await eventually(lambda: heard == ["w:2"])


async def test_a_watch_ends_with_its_client(redis_url: str) -> None:
    async with open_redis(RedisSettings(redis_url)) as redis:
        watched = redis.watch("w:", ignore)
        await watched.ready()
    assert watched.live_until == -math.inf
    with pytest.raises(RedisUnavailable, match="closed"):
        await watched.ready()


async def test_a_watch_outlives_the_deadline_of_the_caller_that_made_it(redis: RedisClient) -> None:
    async def watch_and_wait() -> None:
        async with Deadline.after(0.01):
            made.append(redis.watch("w:", ignore))
            await asyncio.Event().wait()

    made: list[KeyWatch] = []
    with pytest.raises(DeadlineExceeded):
        await watch_and_wait()
    await made[0].ready()


async def test_a_listener_that_fails_has_missed_something_and_hears_the_next(
    redis: RedisClient, caplog: pytest.LogCaptureFixture
) -> None:
    heard: list[str] = []

    def fragile(key: str) -> None:
        heard.append(key)
        if key == "w:bad":
            raise ZeroDivisionError

    sturdy: list[str] = []
    watched = redis.watch("w:", fragile)
    redis.watch("w:", sturdy.append)
    await watched.ready()
    await redis.execute("SET", "w:bad", "1")
    await redis.execute("SET", "w:good", "1")
    await eventually(lambda: heard == sturdy == ["w:bad", "w:good"])
    assert watched.epoch == 2
    assert is_live(watched)
    assert warnings(caplog, "error") == ["ZeroDivisionError"]


async def test_a_flush_is_a_gap_in_which_the_watch_stays_live(redis: RedisClient, other: RedisClient) -> None:
    watched = redis.watch("w:", ignore)
    await watched.ready()
    await other.execute("FLUSHALL")
    await eventually(lambda: watched.epoch == 2)
    assert is_live(watched)


async def test_a_killed_connection_is_a_gap_and_is_opened_again(
    redis: RedisClient, other: RedisClient
) -> None:
    heard: list[str] = []
    watched = redis.watch("w:", heard.append)
    for _ in range(5):
        await watched.ready()
        epochs = range(watched.epoch + 2)
        await kill_watches(other)
        await eventually(lambda within=epochs: watched.epoch not in within)
        assert watched.live_until > -math.inf
    await other.execute("SET", "w:1", "1")
    await eventually(lambda: heard == ["w:1"])


async def test_silence_of_a_frozen_server_means_nothing_and_what_it_missed_is_a_gap(server: Server) -> None:
    async with open_redis(RedisSettings(server.url)) as redis:
        watched = redis.watch("w:", ignore)
        await watched.ready()
        before = watched.epoch
        with server.frozen():
            await eventually(lambda: not is_live(watched))
            await eventually(lambda: watched.epoch > before)
        await watched.ready()
        assert watched.epoch > before + 1


async def test_silence_counts_from_when_the_heartbeat_was_sent(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "BEAT_EVERY", 0.01)
    async with open_redis(RedisSettings(server.url)) as redis:
        watched = redis.watch("w:", ignore)
        await watched.ready()
        with server.frozen():
            await redis_is_silent(redis)
            last = watched.live_until
            assert last - watched.clock() < watch.LIVE_FOR
            await eventually(lambda: not is_live(watched))
            assert watched.live_until in (last, -math.inf), "an unanswered heartbeat adds nothing"


async def redis_is_silent(redis: RedisClient) -> None:
    with pytest.raises(RedisUnavailable, match="timeout"):
        await redis.ping()


async def test_a_watch_survives_the_death_and_rebirth_of_its_server(server: Server) -> None:
    heard: list[str] = []
    async with open_redis(RedisSettings(server.url)) as redis:
        watched = redis.watch("w:", heard.append)
        await watched.ready()
        before = watched.epoch
        server.kill()
        await eventually(lambda: watched.live_until == -math.inf)
        assert watched.epoch > before
        server.start()
        await watched.ready()
        await eventually(lambda: redis.state == "closed")
        await redis.execute("SET", "w:1", "1")
        await eventually(lambda: "w:1" in heard)


async def test_a_watch_of_a_server_that_is_away_becomes_live_when_it_comes(server: Server) -> None:
    url = server.url
    server.kill()
    async with open_redis(RedisSettings(url)) as redis:
        watched = redis.watch("w:", ignore)
        waiting = asyncio.ensure_future(watched.ready())
        await asyncio.wait({waiting}, timeout=0.05)
        assert not waiting.done()
        server.start()
        await waiting


async def test_silence_of_a_replica_means_nothing(server: Server) -> None:
    async with open_redis(RedisSettings(server.url, command_timeout=2.0)) as redis:
        watched = redis.watch("w:", ignore)
        await watched.ready()
        await redis.execute("REPLICAOF", "127.0.0.1", 1)
        await eventually(lambda: watched.live_until == -math.inf)
        await redis.execute("REPLICAOF", "NO", "ONE")
        await watched.ready()


async def test_a_user_without_client_tracking_is_told_so_once_and_quietly(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    async with as_user(server, "-client|tracking") as (admin, redis):
        watched = redis.watch("w:", ignore)
        with pytest.raises(RedisUnavailable, match="unsupported"):
            await watched.ready()
        with pytest.raises(RedisUnavailable, match="unsupported"):
            await redis.watch("x:", ignore).ready()
        await redis.execute("SET", "w:1", "1")
        for _ in range(50):
            await redis.ping()
        assert warnings(caplog, "code") == ["NOPERM"]
        assert await rejected(admin) == 1
        assert not is_live(watched)
        assert await none_watch(admin)


async def test_a_server_that_learns_to_track_is_found_out(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "ASK_AGAIN", 0.02)
    async with as_user(server, "-client|tracking") as (admin, redis):
        watched = redis.watch("w:", ignore)
        with pytest.raises(RedisUnavailable, match="unsupported"):
            await watched.ready()
        await admin.execute("ACL", "SETUSER", "limited", "+client|tracking")
        await eventually(lambda: is_live(watched))
        await watched.ready()


async def test_a_server_that_keeps_its_identity_secret_is_watched_all_the_same(server: Server) -> None:
    async with as_user(server, "-info", "-time") as (admin, redis):
        watched = redis.watch("w:", ignore)
        await watched.ready()
        before = watched.epoch
        connection = await redis.execute("CLIENT", "ID")
        await admin.execute("CLIENT", "KILL", "ID", connection)
        await eventually(lambda: answers(redis))
        assert watched.epoch > before, "commands may go elsewhere now"
        await watched.ready()
        assert redis.server_time() is None


async def test_a_watch_waits_for_a_connection_to_be_free(redis_url: str) -> None:
    settings = RedisSettings(redis_url, command_timeout=2.0, max_connections=2)
    async with open_redis(settings) as redis:
        own = await redis.open_lane(timeout=5.0)  # type: ignore[attr-defined]
        watched = redis.watch("w:", ignore)
        waiting = asyncio.ensure_future(watched.ready())
        await asyncio.wait({waiting}, timeout=0.05)
        assert not waiting.done()
        own.fail("closed")
        await waiting


@asynccontextmanager
async def as_user(server: Server, *rules: str) -> AsyncIterator[tuple[RedisClient, RedisClient]]:
    """An administrator, and a user who may do all but what the rules forbid."""
    parts = urlsplit(server.url)
    url = urlunsplit(parts._replace(netloc=f"limited:pw@{parts.hostname}:{parts.port}"))
    async with open_redis(RedisSettings(server.url, command_timeout=2.0)) as admin:
        await admin.execute("ACL", "SETUSER", "limited", "on", ">pw", "~*", "&*", "+@all", *rules)
        async with open_redis(RedisSettings(url, command_timeout=2.0)) as redis:
            yield admin, redis


async def rejected(admin: RedisClient) -> int:
    stats = str(await admin.execute("INFO", "commandstats"), "ascii")
    lines = [line for line in stats.splitlines() if line.startswith("cmdstat_client|tracking:")]
    return sum(int(line.rpartition("rejected_calls=")[2].partition(",")[0]) for line in lines)


async def answers(redis: RedisClient) -> bool:
    try:
        await redis.ping()
    except RedisUnavailable:
        return False
    return True
