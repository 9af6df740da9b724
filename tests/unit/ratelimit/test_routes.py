"""Which limits a request has, by its route and its dimensions."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sba_ratelimit.errors import DimensionMissing
from sba_ratelimit.limit import Limit, Quota
from sba_ratelimit.plan import Per
from sba_ratelimit.routes import RouteLimits, RouteTable

PATTERNS = (
    "/",
    "/v1/runs",
    "POST /v1/runs",
    "GET /v1/runs/{run_id}",
    "GET /v1/runs/latest",
    "/v1/{kind}/{id}",
    "DELETE /v1/{rest:path}",
    "/files/{name:path}",
    "GET /files/{folder}/index",
)


def table(*patterns: str) -> RouteTable[str]:
    return RouteTable({pattern: pattern for pattern in patterns})


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", "/", "/"),
        ("GET", "", "/"),
        ("POST", "/v1/runs", "POST /v1/runs"),
        ("GET", "/v1/runs", "/v1/runs"),
        ("GET", "/v1/runs/", "/v1/runs"),
        ("GET", "/v1/runs/7", "GET /v1/runs/{run_id}"),
        ("GET", "/v1/runs/latest", "GET /v1/runs/latest"),
        ("HEAD", "/v1/runs/latest", "GET /v1/runs/latest"),
        ("PUT", "/v1/runs/latest", "/v1/{kind}/{id}"),
        ("DELETE", "/v1/runs/latest", "/v1/{kind}/{id}"),
        ("DELETE", "/v1/a/b/c/d", "DELETE /v1/{rest:path}"),
        ("DELETE", "/v1", "DELETE /v1/{rest:path}"),
        ("GET", "/v1/a/b/c", None),
        ("GET", "/v1//7", None),
        ("GET", "/V1/runs", None),
        ("GET", "//v1/runs", None),
        ("GET", "/files", "/files/{name:path}"),
        ("GET", "/files/a/b/c", "/files/{name:path}"),
        ("GET", "/files/a/index", "GET /files/{folder}/index"),
        ("POST", "/files/a/index", "/files/{name:path}"),
        ("GET", "/files/a/index/more", "/files/{name:path}"),
    ],
)
def test_the_most_specific_template_wins_and_then_the_method(
    method: str, path: str, expected: str | None
) -> None:
    found = table(*PATTERNS).find(method, path)
    assert (found and found[0]) == expected


@given(st.randoms(use_true_random=False), st.sampled_from(["GET", "POST", "HEAD", "DELETE"]), st.data())
def test_the_order_of_the_entries_makes_no_difference(
    shuffle: random.Random, method: str, data: st.DataObject
) -> None:
    shuffled = list(PATTERNS)
    shuffle.shuffle(shuffled)
    segment = st.sampled_from(["v1", "runs", "latest", "files", "index", "x", ""])
    path = "/" + "/".join(data.draw(st.lists(segment, max_size=5)))
    assert table(*shuffled).find(method, path) == table(*PATTERNS).find(method, path)


def test_a_table_made_to_be_searched_for_long_is_searched_once() -> None:
    deep = ["/" + "/".join("a" if bit == "1" else "{x}" for bit in f"{n:010b}") for n in range(1024)]
    made = table(*(f"POST {pattern}" for pattern in deep))
    assert made.find("GET", "/a" * 10) is None
    assert made.find("GET", "/a" * 1_000_000) is None
    found = made.find("POST", "/a" * 9 + "/b")
    assert found is not None
    assert found[0] == "POST " + "/a" * 9 + "/{x}"


@pytest.mark.parametrize(
    "pattern",
    ["v1", "get /v1", "GET  v1", "/a{b}", "/{a}{b}", "/{}", "/{rest:path}/more", "", "/{{a}}", "Ä /v1"],
)
def test_a_malformed_pattern_is_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match=r"pattern|segment"):
        table(pattern)


@pytest.mark.parametrize("pair", [("/a", "/a/"), ("/a/{x}", "/a/{y}"), ("/{x:path}", "/{y:path}")])
def test_two_patterns_that_match_the_same_are_refused(pair: tuple[str, str]) -> None:
    with pytest.raises(ValueError, match="two patterns are the same"):
        table(*pair)


EVERY = Per(Quota(100, per=60, name="address"), by=("ip",))
SUBMIT = Per(Quota(10, per=60, name="submit"), by=("tenant", "user"))
EACH = Per(Quota(20, per=60, name="each"), by=("ip", "method", "route"))


def limits_of(method: str, path: str, **more: object) -> list[Limit]:
    made = RouteLimits(
        {"POST /v1/runs": [SUBMIT], "/v1/{kind}": [EACH]},
        always=[EVERY],
        who=lambda scope: {"ip": "192.0.2.1", "tenant": scope.get("tenant"), "user": "u"},
    )
    return made({"type": "http", "method": method, "path": path, **more})


def test_a_request_has_the_limits_of_its_route_besides_those_of_all() -> None:
    address = Limit.of(EVERY.quota, "ip", "192.0.2.1")
    submit = Limit.of(SUBMIT.quota, "tenant", "t", "user", "u")
    assert limits_of("POST", "/v1/runs", tenant="t") == [address, submit]
    assert limits_of("GET", "/healthz") == [address]


def test_a_limit_by_method_and_route_counts_each_template_apart() -> None:
    one, other, third = (limits_of(*of)[1] for of in (("GET", "/v1/a"), ("GET", "/v1/b"), ("PUT", "/v1/a")))
    assert one == other == Limit.of(EACH.quota, "ip", "192.0.2.1", "method", "GET", "route", "/v1/{kind}")
    assert third != one


def test_methods_a_client_invents_are_one() -> None:
    invented = [limits_of(method, "/v1/a") for method in ("BREW", "X" * 500)]
    assert invented[0] == invented[1]


def test_a_dimension_without_a_value_leaves_its_limit_out_and_an_unknown_one_is_an_error() -> None:
    assert [limit.name for limit in limits_of("POST", "/v1/runs", tenant=None)] == ["address"]
    unknown = RouteLimits({"/": [EVERY]}, who=lambda _: {})
    with pytest.raises(DimensionMissing, match="'ip'"):
        unknown({"type": "http", "method": "GET", "path": "/"})


def test_an_application_mounted_below_a_prefix_sees_its_own_paths() -> None:
    assert len(limits_of("GET", "/api/v1/runs", root_path="/api")) == 2
    assert len(limits_of("GET", "/v1/runs", root_path="/api")) == 2
    assert len(limits_of("GET", "/apiv1/runs", root_path="/api")) == 1


def test_a_websocket_has_routes_of_its_own() -> None:
    sockets = RouteLimits({"WEBSOCKET /ws": [EVERY], "GET /ws": []}, who=lambda _: {"ip": "a"})
    assert len(sockets({"type": "websocket", "path": "/ws"})) == 1
    assert sockets({"type": "http", "method": "GET", "path": "/ws"}) == []


def test_quotas_that_would_share_units_in_one_request_and_those_by_nothing_are_refused() -> None:
    with pytest.raises(ValueError, match="same name"):
        RouteLimits({"/a": [EVERY]}, always=[EVERY], who=dict)
    with pytest.raises(ValueError, match="same name"):
        RouteLimits({}, always=[EVERY, EVERY], who=dict)
    with pytest.raises(ValueError, match="by nothing"):
        RouteLimits({"/a": [Per(Quota(1, per=1))]}, who=dict)
