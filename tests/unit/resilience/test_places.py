"""Which URLs point at what, and that none is ever repeated."""

from __future__ import annotations

import pytest

from sba_resilience.redis import RedisSettings, open_redis
from sba_resilience.redis.places import Places, address_of, spelled

CLUSTER = "redis+cluster://u:p%40ss@a:7000,[::1]:7001,b?socket_keepalive=yes"
SENTINEL = "rediss+sentinel://u:p%40ss@s1,s2:26000/main/3?sentinel_username=v&sentinel_password=x%2Fy"


@pytest.mark.parametrize("url", ["redis://a/0", "rediss://a", "unix:///run/valkey.sock"])
def test_one_server_is_left_to_its_own_url(url: str) -> None:
    assert Places.of(url).kind == "server"


def test_a_cluster_is_any_of_its_nodes() -> None:
    places = Places.of(CLUSTER)
    assert (places.kind, places.tls) == ("cluster", False)
    assert places.addresses == (("a", 7000), ("::1", 7001), ("b", 6379))
    assert places.url_of(("::2", 1)) == "redis://u:p%40ss@[::2]:1/?socket_keepalive=yes"


def test_sentinels_have_a_service_a_database_and_a_login_of_their_own() -> None:
    places = Places.of(SENTINEL)
    assert (places.kind, places.service, places.tls) == ("sentinel", "main", True)
    assert places.addresses == (("s1", 26379), ("s2", 26000))
    assert places.sentinel_options == {"sentinel_username": "v", "sentinel_password": "x/y"}
    assert places.url_of(("h", 1)) == "rediss://u:p%40ss@h:1/3"
    assert places.sentinel_url_of(("s1", 26379), "v:x%2Fy@") == "rediss://v:x%2Fy@s1:26379/"


def test_nothing_secret_is_shown() -> None:
    assert "p%40ss" not in repr(Places.of(CLUSTER))
    assert "x/y" not in repr(Places.of(SENTINEL))


@pytest.mark.parametrize(
    "url",
    [
        "redis+cluster://:hunter2@",
        "redis+cluster://:hunter2@a:port",
        "redis+cluster://:hunter2@a:1,,b:1",
        "redis+cluster://:hunter2@a:1/1",
        "redis+cluster://:hunter2@a:1?no_such=hunter2",
        "redis+sentinel://:hunter2@a:1",
        "redis+sentinel://:hunter2@a:1/main/hunter2",
        "redis+sentinel://:hunter2@a:1/main?no_such=hunter2",
        "redis+ring://:hunter2@a:1",
        "http+cluster://:hunter2@a:1",
    ],
)
async def test_a_url_that_is_not_one_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(ValueError, match=r"redis\+cluster://") as caught:
        async with open_redis(RedisSettings(url)):
            raise AssertionError
    assert "hunter2" not in f"{caught.value!r} {caught.value.__cause__!r} {caught.value.__context__!r}"


@pytest.mark.parametrize("address", [("h", 1), ("127.0.0.1", 6379), ("::1", 26379)])
def test_an_address_is_read_as_it_is_spelled(address: tuple[str, int]) -> None:
    assert address_of(spelled(address)) == address
