"""Commands to a real cluster: routing, redirects, failures and failover."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from sba_resilience import Deadline, DeadlineExceeded
from sba_resilience.redis import (
    RedisClient,
    RedisCommandError,
    RedisSettings,
    RedisUnavailable,
    open_redis,
)
from sba_resilience.redis.keys import keys_of
from sba_resilience.redis.lane import SLICE
from tests.integration.resilience.cluster_servers import KEYS, PASSWORD, Cluster, Member
from tests.integration.resilience.faults import eventually, works


@pytest.fixture
async def redis(cluster: Cluster) -> AsyncIterator[RedisClient]:
    await eventually(cluster.settled, within=20)
    for primary in cluster.primaries:
        primary.ask("FLUSHALL")
        primary.ask("SCRIPT", "FLUSH")
        primary.ask("CONFIG", "RESETSTAT")
    async with open_redis(RedisSettings(cluster.url, command_timeout=2.0)) as client:
        yield client


def stat(member: Member, section: str, name: str) -> int:
    value = member.client.info(section).get(name, 0)
    return int(value["count"] if isinstance(value, dict) else value)


def redirects(cluster: Cluster) -> int:
    return sum(
        stat(member, "errorstats", f"errorstat_{kind}")
        for member in cluster.members
        if member.up
        for kind in ("MOVED", "ASK")
    )


async def test_every_key_is_on_the_primary_of_its_slot(redis: RedisClient, cluster: Cluster) -> None:
    await asyncio.gather(*(redis.execute("SET", key, key) for key in KEYS))
    assert await asyncio.gather(*(redis.execute("GET", key) for key in KEYS)) == [k.encode() for k in KEYS]
    assert all(primary.ask("DBSIZE") > 0 for primary in cluster.primaries)
    assert redirects(cluster) == 0
    assert redis.state == "closed"
    await redis.ping()


async def test_commands_of_one_turn_reach_each_primary_together(redis: RedisClient, cluster: Cluster) -> None:
    await redis.ping()
    before = [stat(primary, "stats", "total_reads_processed") for primary in cluster.primaries]
    await asyncio.gather(*(redis.execute("INCR", key) for key in KEYS for _ in range(20)))
    after = [stat(primary, "stats", "total_reads_processed") for primary in cluster.primaries]
    assert all(late - early < 20 * len(KEYS) / SLICE for early, late in zip(before, after, strict=True))
    assert await redis.execute("GET", KEYS[0]) == b"20"


async def test_commands_sent_ahead_reach_their_primaries(redis: RedisClient) -> None:
    assert redis.command_timeout > 0
    replies = [redis.send("SET", key, n) for n, key in enumerate(KEYS)]
    assert set(await asyncio.gather(*replies)) == {b"OK"}
    found = [redis.send("GET", key) for key in KEYS]
    assert await asyncio.gather(*found) == [str(n).encode() for n in range(len(KEYS))]


async def test_nothing_secret_is_shown(redis: RedisClient, cluster: Cluster) -> None:
    assert redis.address == cluster.url.partition("@")[2]
    assert PASSWORD not in f"{redis!r}"


async def test_keys_in_different_slots_are_refused_before_anything_is_sent(
    redis: RedisClient, cluster: Cluster
) -> None:
    with pytest.raises(RedisCommandError) as caught:
        await redis.execute("MSET", "k1", 1, "k2", 2)
    assert caught.value.code == "CROSSSLOT"
    assert redirects(cluster) == 0
    await redis.execute("MSET", "{k}1", 1, "{k}2", 2)
    assert await redis.execute("MGET", "{k}1", "{k}2") == [b"1", b"2"]


COMMANDS = [
    ("GET", "a"),
    ("SET", "a", 1, "PX", 10),
    ("DEL", "a", "b", "c"),
    ("MSET", "a", 1, "b", 2),
    ("EVALSHA", "0" * 40, 2, "a", "b", "c"),
    ("EVAL", "return 1", 1, "a", "b"),
    ("EVAL", "return 1", 0, "b"),
    ("XADD", "a", "*", "f", "v"),
    ("XREAD", "COUNT", 1, "BLOCK", 10, "STREAMS", "a", "b", "0", "0"),
    ("XREADGROUP", "GROUP", "g", "c", "STREAMS", "a", ">"),
    ("XGROUP", "CREATE", "a", "g", "$"),
    ("XINFO", "STREAM", "a"),
    ("OBJECT", "ENCODING", "a"),
    ("BITOP", "AND", "a", "b", "c"),
    ("ZUNIONSTORE", "a", 2, "b", "c", "WEIGHTS", 1, 2),
    ("ZINTER", 2, "a", "b"),
    ("ZADD", "a", 1, "m"),
    ("SINTERCARD", 2, "a", "b"),
    ("LMPOP", 2, "a", "b", "LEFT"),
    ("RENAME", "a", "b"),
    ("LMOVE", "a", "b", "LEFT", "LEFT"),
    ("PFCOUNT", "a", "b"),
    ("FCALL", "f", 1, "a", "b"),
    ("HSETEX", "a", "FIELDS", 1, "f", "v"),
]


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: words[0])
def test_keys_are_found_where_the_server_finds_them(cluster: Cluster, words: tuple[str, ...]) -> None:
    keys = [str(key) for key in keys_of(words) or ()]
    if not keys:
        assert cluster.members[0].client.command_getkeys("SET", "x", 1) == ["x"]
        return
    assert keys == cluster.members[0].client.execute_command("COMMAND GETKEYS", *words)


async def test_the_keys_of_other_commands_are_asked_of_the_server(redis: RedisClient) -> None:
    for key in KEYS:
        await redis.execute("RPUSH", key, 2, 1)
        assert await redis.execute("SORT", key) == [b"1", b"2"]
    with pytest.raises(RedisCommandError, match="unknown command"):
        await redis.execute("NO_SUCH_COMMAND", "k1")


async def test_a_command_without_keys_is_run_somewhere(redis: RedisClient, cluster: Cluster) -> None:
    assert await redis.execute("PING") == b"PONG"
    assert await redis.execute("EVAL", "return 7", 0) == 7
    now = redis.server_time()
    assert now is not None
    assert abs(now - cluster.primaries[0].client.time()[0]) < 30


async def test_each_primary_learns_a_script_when_it_is_first_needed(
    redis: RedisClient, cluster: Cluster
) -> None:
    script = redis.script("return redis.call('INCRBY', KEYS[1], ARGV[1])")
    assert await asyncio.gather(*(script([key], [2]) for key in KEYS)) == [2] * len(KEYS)
    cluster.primaries[1].ask("SCRIPT", "FLUSH")
    assert await asyncio.gather(*(script([key], [2]) for key in KEYS)) == [4] * len(KEYS)


async def test_a_slot_that_has_moved_is_followed_and_remembered(redis: RedisClient, cluster: Cluster) -> None:
    source, target = cluster.primaries[:2]
    key = cluster.key_at(source)
    slot = source.ask("CLUSTER", "KEYSLOT", key)
    cluster.move(slot, source=source, target=target)
    try:
        assert await redis.execute("SET", key, "moved") == b"OK"
        assert target.ask("GET", key) == "moved"
        assert redirects(cluster) == 1
        assert await redis.execute("GET", key) == b"moved"
        assert redirects(cluster) == 1
        await redis.execute("DEL", key)
    finally:
        cluster.move(slot, source=target, target=source)


async def test_a_slot_on_the_move_is_asked_for_where_it_goes(redis: RedisClient, cluster: Cluster) -> None:
    source, target = cluster.primaries[:2]
    key = cluster.key_at(source)
    slot = source.ask("CLUSTER", "KEYSLOT", key)
    left, gone = f"{{{key}}}left", f"{{{key}}}gone"
    await redis.execute("SET", left, "1")
    cluster.begin_move(slot, source=source, target=target)
    try:
        assert await redis.execute("SET", gone, "2") == b"OK"
        assert await asyncio.gather(redis.execute("GET", gone), redis.execute("GET", left)) == [b"2", b"1"]
        assert await redis.script("return redis.call('GET', KEYS[1])")([gone]) == b"2"
        with pytest.raises(RedisUnavailable) as caught:
            await redis.execute("MGET", left, gone)
        assert caught.value.reason == "not_ready"
        assert await redis.execute("DEL", left) == 1
        assert await redis.execute("DEL", gone) == 1
    finally:
        for member in (source, target):
            member.ask("CLUSTER", "SETSLOT", slot, "STABLE")


async def test_a_primary_that_hangs_delays_nobody_else(cluster: Cluster, redis: RedisClient) -> None:
    hanging, *others = cluster.primaries
    served = [key for key in KEYS if cluster.primary_of(key) in others]
    lost = cluster.key_at(hanging)
    async with open_redis(RedisSettings(cluster.url, command_timeout=0.2)) as quick:
        await quick.ping()
        with cluster.no_failover(), hanging.frozen():
            waiting = asyncio.ensure_future(quick.execute("GET", lost))
            await asyncio.gather(*(redis.execute("GET", key) for key in served))
            assert not waiting.done()
            with pytest.raises(RedisUnavailable, match="timeout"):
                await waiting
            with pytest.raises(RedisUnavailable):
                await quick.ping()
        await eventually(lambda: works(quick, lost), within=20)
        await eventually(lambda: quick.state == "closed", within=20)


async def test_a_redirected_command_has_one_time_limit(redis: RedisClient, cluster: Cluster) -> None:
    source, target = cluster.primaries[:2]
    key = cluster.key_at(source)
    slot = source.ask("CLUSTER", "KEYSLOT", key)
    cluster.begin_move(slot, source=source, target=target)
    try:
        async with open_redis(RedisSettings(cluster.url, command_timeout=0.3)) as quick:
            await quick.ping()
            with cluster.no_failover(), target.frozen():
                with pytest.raises(RedisUnavailable, match="timeout"):
                    await quick.execute("GET", key)
                with pytest.raises(DeadlineExceeded):
                    async with Deadline.after(0.1):
                        await redis.execute("GET", key)
    finally:
        for member in (source, target):
            member.ask("CLUSTER", "SETSLOT", slot, "STABLE")


async def test_nodes_that_send_a_command_back_and_forth_are_not_ready(
    redis: RedisClient, cluster: Cluster
) -> None:
    source, target = cluster.primaries[:2]
    key = cluster.key_at(source)
    slot = source.ask("CLUSTER", "KEYSLOT", key)
    source.ask("CLUSTER", "SETSLOT", slot, "NODE", target.ask("CLUSTER", "MYID"))
    try:
        with pytest.raises(RedisUnavailable, match="redirected twice") as caught:
            await redis.execute("GET", key)
        assert caught.value.reason == "not_ready"
    finally:
        cluster.end_move(slot, source=target, target=source)
    await eventually(lambda: works(redis, key))


async def test_what_the_nodes_lack_is_found_out(redis: RedisClient) -> None:
    assert (await redis.probe()).missing == ()


async def test_wrong_credentials_are_told_from_an_outage(cluster: Cluster) -> None:
    url = cluster.url.replace(PASSWORD, "hunter2")
    async with open_redis(RedisSettings(url, command_timeout=2.0)) as redis:
        with pytest.raises(RedisUnavailable) as caught:
            await redis.execute("GET", "k")
    assert caught.value.reason == "authentication"
    assert "hunter2" not in f"{caught.value} {redis!r}"


async def test_a_server_that_is_no_cluster_is_said_to_be_none(redis_url: str) -> None:
    url = redis_url.replace("redis://", "redis+cluster://")
    async with open_redis(RedisSettings(url, command_timeout=2.0)) as redis:
        with pytest.raises(RedisUnavailable) as caught:
            await redis.execute("GET", "k")
        assert redis.state == "open"
        assert redis.server_time() is None
    assert caught.value.reason == "not_ready"


async def test_nothing_is_served_once_it_is_closed(cluster: Cluster) -> None:
    async with open_redis(RedisSettings(cluster.url)) as redis:
        pass
    for asking in (redis.execute("GET", "k"), redis.ping()):
        with pytest.raises(RedisUnavailable, match="closed"):
            await asking
