"""What the client is told, and what it never shows."""

from __future__ import annotations

import pytest

from sba_resilience.redis import RedisSettings, open_redis
from sba_resilience.redis.dial import Dialer


def test_the_url_is_never_shown() -> None:
    assert "hunter2" not in repr(RedisSettings("redis://:hunter2@localhost/0"))


@pytest.mark.parametrize(
    "url",
    [
        "http://u:hunter2@x/",
        "hunter2",
        "redis://x/0?db=hunter2",
        "redis://:hunter2@x:port/",
        "redis://x/?no_such=hunter2",
    ],
)
async def test_a_url_that_is_not_one_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(ValueError, match="redis://") as caught:
        async with open_redis(RedisSettings(url)):
            raise AssertionError
    assert "hunter2" not in f"{caught.value!r} {caught.value.__cause__!r}"


@pytest.mark.parametrize("wrong", [{"command_timeout": 0}, {"connect_timeout": -1}, {"max_connections": 0}])
def test_limits_that_cannot_hold_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="above 0"):
        RedisSettings("redis://x", **wrong)


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("redis://u:pw@cache:6380/2", "cache:6380/2"),
        ("rediss://cache", "cache:6379/0"),
        ("unix:///run/valkey.sock?db=1", "/run/valkey.sock/1"),
    ],
)
def test_the_address_names_the_place_alone(url: str, address: str) -> None:
    assert Dialer(RedisSettings(url)).address == address
