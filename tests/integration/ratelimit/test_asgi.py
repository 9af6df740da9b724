"""The middleware in front of a plain ASGI application."""

from __future__ import annotations

import asyncio
import json
from collections.abc import MutableMapping
from typing import Any

import pytest

from sba_ratelimit import CostTooLarge, Decision, Limit, Limiter, RateLimitMiddleware, client_address
from sba_ratelimit.asgi import ASGIApp, Receive, Scope, Send
from sba_ratelimit.limit import Quota
from sba_ratelimit.plan import Per
from sba_ratelimit.routes import RouteLimits
from sba_resilience.redis import RedisSettings, open_redis
from tests.integration.resilience.faults import Server

Message = MutableMapping[str, Any]
ANSWERING = {"extensions": {"websocket.http.response": {}}}


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.accept"})
        return
    status = int(scope.get("query_string", b"") or 200)
    await send({"type": "http.response.start", "status": status, "headers": [(b"RateLimit", b'"inner";r=1')]})
    await send({"type": "http.response.body", "body": b"ok"})


def by_address(scope: Scope) -> list[Limit]:
    address = client_address(scope, ())
    return [Limit(1, per=3600, key=("ip", address), name="ip", on_outage="closed")]


async def ask(asked: ASGIApp, path: str = "/", kind: str = "http", **more: Any) -> list[Message]:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        raise AssertionError("nothing to receive")

    scope = {"type": kind, "path": path, "client": ("192.0.2.1", 1), "headers": [], **more}
    if kind == "http":
        scope.setdefault("method", "GET")
    await asked(scope, receive, send)
    return sent


async def statuses(asked: ASGIApp, times: int, **more: Any) -> list[int]:
    return [(await ask(asked, **more))[0]["status"] for _ in range(times)]


async def test_a_request_within_the_limit_passes_with_its_limits_joined_to_the_applications(
    limiter: Limiter,
) -> None:
    limited = RateLimitMiddleware(app, limiter=limiter, limits=by_address)
    start, body = await ask(limited)
    assert start["status"] == 200
    assert start["headers"] == [
        (b"RateLimit", b'"inner";r=1, "ip";r=0;t=3600'),
        (b"ratelimit-policy", b'"ip";q=1;w=3600'),
    ]
    assert body["body"] == b"ok"


async def test_nested_middlewares_make_one_field_of_each(limiter: Limiter) -> None:
    def by_path(scope: Scope) -> list[Limit]:
        return [Limit(5, per=60, key=("ip", "a", "path", scope["path"]), name="path")]

    inner = RateLimitMiddleware(app, limiter=limiter, limits=by_path)
    outer = RateLimitMiddleware(inner, limiter=limiter, limits=by_address)
    headers = dict((await ask(outer))[0]["headers"])
    assert headers[b"ratelimit-policy"] == b'"path";q=5;w=60, "ip";q=1;w=3600'
    assert headers[b"RateLimit"] == b'"inner";r=1, "path";r=4;t=12, "ip";r=0;t=3600'


async def test_a_request_above_the_limit_never_reaches_the_application(limiter: Limiter) -> None:
    limited = RateLimitMiddleware(app, limiter=limiter, limits=by_address)
    await ask(limited)
    start, body = await ask(limited)
    headers = dict(start["headers"])
    assert start["status"] == 429
    assert headers[b"retry-after"] in (b"3600", b"3599")
    assert headers[b"content-type"] == b"application/problem+json"
    assert int(headers[b"content-length"]) == len(body["body"])
    assert json.loads(body["body"])["status"] == 429
    assert (await ask(limited, method="HEAD"))[1]["body"] == b""


async def test_exempt_paths_other_protocols_and_requests_without_limits_are_not_counted(
    limiter: Limiter,
) -> None:
    limited = RateLimitMiddleware(app, limiter=limiter, limits=by_address, exempt=["/healthz"])
    unlimited = RateLimitMiddleware(app, limiter=limiter, limits=lambda scope: [])
    for _ in range(3):
        for sent in (
            await ask(limited, "/healthz"),
            await ask(limited, "/api/healthz", root_path="/api"),
            await ask(limited, kind="lifespan"),
            await ask(unlimited),
        ):
            assert sent[0]["headers"] == [(b"RateLimit", b'"inner";r=1')]
    assert (await ask(limited))[0]["status"] == 200


async def test_a_websocket_counts_and_is_refused_before_it_opens(limiter: Limiter) -> None:
    limited = RateLimitMiddleware(app, limiter=limiter, limits=by_address)
    (accepted,) = await ask(limited, kind="websocket")
    assert accepted["type"] == "websocket.accept"
    assert (b"ratelimit", b'"ip";r=0;t=3600') in accepted["headers"]
    start, body = await ask(limited, kind="websocket", **ANSWERING)
    assert (start["type"], start["status"]) == ("websocket.http.response.start", 429)
    assert b"retry-after" in dict(start["headers"])
    assert body["type"] == "websocket.http.response.body"
    assert await ask(limited, kind="websocket") == [{"type": "websocket.close", "code": 1008}]
    assert (await ask(limited))[0]["status"] == 429


async def test_a_denied_answer_may_close_a_websocket_itself(limiter: Limiter) -> None:
    async def close(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "websocket.close", "code": 4000})

    limited = RateLimitMiddleware(app, limiter=limiter, limits=by_address, denied=lambda _: close)
    await ask(limited, kind="websocket")
    (closed,) = await ask(limited, kind="websocket", **ANSWERING)
    assert closed["type"] == "websocket.close"


async def test_limits_by_route_are_decided_in_one_call_and_counted_apart(limiter: Limiter) -> None:
    routes = RouteLimits(
        {"POST /v1/runs": [Per(Quota(1, per=60, name="runs"), by=("ip", "route"))]},
        always=[Per(Quota(3, per=60, name="all"), by=("ip",))],
        who=lambda scope: {"ip": client_address(scope, ())},
    )
    limited = RateLimitMiddleware(app, limiter=limiter, limits=routes)
    posts = await statuses(limited, 2, path="/v1/runs", method="POST")
    gets = await statuses(limited, 3, path="/v1/runs")
    assert (posts, gets) == ([200, 429], [200, 200, 429])


async def test_limits_may_be_awaited_and_the_limiter_found_in_the_scope(limiter: Limiter) -> None:
    async def looked_up(scope: Scope) -> list[Limit]:
        await asyncio.sleep(0)
        return by_address(scope)

    limited = RateLimitMiddleware(app, limiter=lambda scope: scope["limiter"], limits=looked_up)
    assert await statuses(limited, 2, limiter=limiter) == [200, 429]


def of_three(scope: Scope) -> list[Limit]:
    return [Limit(3, per=3600, key=("ip", client_address(scope, ())), name="ip")]


async def test_a_request_costs_what_it_is_said_to_cost(limiter: Limiter) -> None:
    limited = RateLimitMiddleware(app, limiter=limiter, limits=of_three, cost=lambda scope: scope["cost"])
    assert await statuses(limited, 2, cost=2) == [200, 429]
    assert await statuses(limited, 1, cost=1) == [200]
    with pytest.raises(CostTooLarge):
        await ask(limited, cost=4)


async def test_answers_of_a_chosen_status_give_their_units_back(limiter: Limiter) -> None:
    limited = RateLimitMiddleware(
        app, limiter=limiter, limits=of_three, refund_when=lambda status: status in {101, 304}
    )
    assert await statuses(limited, 5, query_string=b"304") == [304] * 5
    for _ in range(5):
        assert (await ask(limited, kind="websocket"))[0]["type"] == "websocket.accept"
    assert await statuses(limited, 4) == [200, 200, 200, 429]


async def test_a_shadow_limit_is_given_back_only_what_it_took(limiter: Limiter) -> None:
    shadow = Limit(2, per=3600, key=("ip", "a"), name="shadow", shadow=True)
    counted = RateLimitMiddleware(app, limiter=limiter, limits=lambda _: [shadow])
    limited = RateLimitMiddleware(app, limiter=limiter, limits=lambda _: [shadow], refund_when=lambda _: True)
    assert await statuses(counted, 2) == [200, 200]
    assert await statuses(limited, 3) == [200, 200, 200]
    assert (await limiter.peek([shadow])).shadowed
    await limiter.refund([shadow])
    assert not (await limiter.peek([shadow])).shadowed


async def test_an_application_that_fails_gives_back_and_one_that_was_left_does_not(
    limiter: Limiter,
) -> None:
    async def fail(scope: Scope, receive: Receive, send: Send) -> None:
        raise scope["error"]

    limited = RateLimitMiddleware(fail, limiter=limiter, limits=by_address, refund_when=lambda s: s >= 500)
    for _ in range(3):
        with pytest.raises(ZeroDivisionError):
            await ask(limited, error=ZeroDivisionError())
    with pytest.raises(asyncio.CancelledError):
        await ask(limited, error=asyncio.CancelledError())
    assert (await ask(limited, error=ZeroDivisionError()))[0]["status"] == 429


async def test_an_outage_is_refused_as_an_outage_and_the_denied_answer_keeps_its_own_fields(
    server: Server,
) -> None:
    async def refuse(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 503, "headers": [(b"Retry-After", b"9")]})

    def own(_: Decision) -> ASGIApp:
        return refuse

    async with open_redis(RedisSettings(server.url)) as redis:
        server.kill()
        limiter = Limiter(redis)
        limited = RateLimitMiddleware(app, limiter=limiter, limits=by_address)
        (start, _) = await ask(limited)
        assert start["status"] == 503
        assert dict(start["headers"])[b"retry-after"] == b"1"
        assert b"ratelimit" not in dict(start["headers"])
        limited = RateLimitMiddleware(app, limiter=limiter, limits=by_address, denied=own)
        assert (await ask(limited))[0]["headers"] == [(b"Retry-After", b"9")]


async def test_what_was_admitted_in_an_outage_is_served_and_not_given_back(server: Server) -> None:
    async with open_redis(RedisSettings(server.url)) as redis:
        server.kill()
        limited = RateLimitMiddleware(
            app, limiter=Limiter(redis), limits=of_three, refund_when=lambda _: True
        )
        assert await statuses(limited, 5) == [200] * 5


async def test_a_refund_that_comes_too_late_changes_no_answer(server: Server) -> None:
    async def outlive(scope: Scope, receive: Receive, send: Send) -> None:
        server.kill()
        await app(scope, receive, send)

    async with open_redis(RedisSettings(server.url)) as redis:
        limited = RateLimitMiddleware(
            outlive, limiter=Limiter(redis), limits=by_address, refund_when=lambda _: True
        )
        assert await statuses(limited, 1) == [200]
