"""The start-up probe on a real server and on users who may do less."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sba_resilience.redis import RedisClient, RedisSettings, RedisUnavailable, open_redis
from sba_resilience.redis.probe import FEATURES
from tests.integration.resilience.faults import Server

ROOT = Path(__file__).resolve().parents[3]
IN_USE = re.compile(r"""(?:redis\.call\(|\.execute\(\s*|pack\(\()["']([A-Z]+)["']""")
TOPOLOGY = {"ASKING", "CLUSTER", "COMMAND", "ROLE", "SENTINEL"}  # only asked of clusters and sentinels


@pytest.fixture
async def admin(server: Server):
    async with open_redis(RedisSettings(server.url, command_timeout=5.0)) as client:
        yield client


async def probed(server: Server, admin: RedisClient, *rules: str) -> dict[str, tuple[str, ...]]:
    """What a user with these rules is found to lack."""
    await admin.execute("ACL", "SETUSER", "limited", "reset", "on", ">pw", "~*", "&*", "+@all", *rules)
    url = f"redis://limited:pw@127.0.0.1:{server.port}/0"
    async with open_redis(RedisSettings(url, command_timeout=5.0)) as redis:
        found = await redis.probe()
        await redis.execute("ECHO", "connected")
    return {lacked.feature: lacked.commands for lacked in found.missing}


async def test_our_own_engine_lacks_nothing(redis: RedisClient, caplog: pytest.LogCaptureFixture) -> None:
    found = await redis.probe()
    assert found.missing == ()
    assert re.fullmatch(r"\w+ [\d.]+", found.server)
    assert caplog.records == []


@pytest.mark.parametrize(
    ("rule", "feature", "commands"),
    [
        ("-mget", "values", ("MGET",)),
        ("-del", "values", ("DEL",)),
        ("-@scripting", "scripts", ("EVALSHA", "EVAL")),
        ("-evalsha", "scripts", ("EVALSHA",)),
        ("-zadd", "sorted sets", ("ZADD",)),
        ("-hset", "hashes and lists", ("HSET",)),
        ("-xread", "streams", ("XREAD",)),
        ("-client|unblock", "unblocking", ("CLIENT UNBLOCK",)),
        ("-time", "server time", ("TIME",)),
        ("-info", "server identity", ("INFO",)),
        ("-client|setname", "connection names", ("CLIENT SETNAME",)),
        ("-client|setinfo", "connection names", ("CLIENT SETINFO",)),
        ("-client|tracking", "client tracking", ("CLIENT TRACKING",)),
    ],
)
async def test_a_forbidden_command_is_named_and_nobody_needs_it_to_connect(
    server: Server, admin: RedisClient, rule: str, feature: str, commands: tuple[str, ...]
) -> None:
    lacks = await probed(server, admin, rule)
    assert lacks[feature] == commands
    assert set(lacks) <= {feature, "scripts"}, "a script may not use what its user may not"


async def test_a_user_without_any_of_the_client_commands_connects_and_is_served(
    server: Server, admin: RedisClient
) -> None:
    lacks = await probed(server, admin, "-client", "-info", "-time", "-ping")
    assert set(lacks) == {
        "values", "scripts", "unblocking", "server time", "server identity", "connection names",
        "client tracking",
    }  # fmt: skip


@pytest.mark.parametrize("rules", [(), ("-del",), ("-pexpire", "-expire")])
async def test_it_leaves_nothing_behind_and_changes_nothing(
    server: Server, admin: RedisClient, rules: tuple[str, ...]
) -> None:
    await admin.execute("SET", "kept", "1")
    await admin.execute("XADD", "stream", "*", "f", "v")
    await probed(server, admin, *rules)
    assert sorted(await admin.execute("KEYS", "*")) == [b"kept", b"stream"]
    assert await admin.execute("XLEN", "stream") == 1


async def test_what_is_missing_is_logged_once_with_its_fallback(
    server: Server, admin: RedisClient, caplog: pytest.LogCaptureFixture
) -> None:
    await admin.execute("ACL", "SETUSER", "limited", "on", ">pw", "~*", "&*", "+@all", "-client|tracking")
    url = f"redis://limited:pw@127.0.0.1:{server.port}/0"
    async with open_redis(RedisSettings(url, command_timeout=5.0), probe=True) as redis:
        first = await redis.probe()
        assert await redis.probe() == first
    (record,) = caplog.records
    assert record.msg["fallback"] == first.missing[0].fallback
    assert not first.has("client tracking")
    assert first.has("values")


async def test_a_server_that_is_away_cannot_be_probed(server: Server) -> None:
    async with open_redis(RedisSettings(server.url)) as redis:
        server.kill()
        with pytest.raises(RedisUnavailable):
            await redis.probe()
    async with open_redis(RedisSettings(server.url), probe=True) as redis:
        with pytest.raises(RedisUnavailable):
            await redis.ping()


async def test_a_server_that_cannot_write_now_is_not_said_to_lack_writing(
    server: Server, admin: RedisClient
) -> None:
    await admin.execute("CONFIG", "SET", "maxmemory", "1")
    with pytest.raises(RedisUnavailable, match="not_ready"):
        await admin.probe()


def test_every_command_in_use_is_probed() -> None:
    sources = [
        path
        for place in ("packages", "apps")
        for path in (ROOT / place).rglob("src/**/*")
        if path.suffix in {".py", ".lua"} and "sba_db" not in path.parts
    ]
    used = {name for path in sources for name in IN_USE.findall(path.read_text("utf-8"))}
    probed = {str(words[0]) for feature in FEATURES for words in (*feature.harmless, *feature.creating)}
    assert used - TOPOLOGY <= probed, "name it in a feature of sba_resilience.redis.probe, with its fallback"
