"""The middleware in front of a plain ASGI application."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

from sba_ratelimit import Decision, Limit, Limiter, RateLimitMiddleware, client_address
from sba_ratelimit.asgi import ASGIApp, Receive, Scope, Send
from sba_resilience.redis import RedisSettings, open_redis
from tests.integration.resilience.faults import Server

Message = MutableMapping[str, Any]


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"RateLimit", b'"inner";r=1')]})
    await send({"type": "http.response.body", "body": b"ok"})


def denied(decision: Decision) -> ASGIApp:
    async def refuse(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 503 if decision.outage else 429})
        await send({"type": "http.response.body", "body": b"no"})

    return refuse


def by_address(scope: Scope) -> list[Limit]:
    address = client_address(scope, ())
    return [Limit(1, per=3600, key=("ip", address), name="ip", on_outage="closed")]


async def ask(asked: ASGIApp, path: str = "/", kind: str = "http") -> list[Message]:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        raise AssertionError("nothing to receive")

    await asked({"type": kind, "path": path, "client": ("192.0.2.1", 1), "headers": []}, receive, send)
    return sent


async def test_a_request_within_the_limit_passes_with_headers_added(limiter: Limiter) -> None:
    limited = RateLimitMiddleware(app, limiter=limiter, limits=by_address, denied=denied)
    start, body = await ask(limited)
    assert start["status"] == 200
    assert start["headers"] == [
        (b"RateLimit", b'"inner";r=1'),
        (b"ratelimit-policy", b'"ip";q=1;w=3600'),
        (b"ratelimit", b'"ip";r=0;t=3600'),
    ]
    assert body["body"] == b"ok"


async def test_a_request_above_the_limit_never_reaches_the_application(limiter: Limiter) -> None:
    limited = RateLimitMiddleware(app, limiter=limiter, limits=by_address, denied=denied)
    await ask(limited)
    start, body = await ask(limited)
    assert start["status"] == 429
    assert dict(start["headers"])[b"retry-after"] in (b"3600", b"3599")
    assert body["body"] == b"no"


async def test_exempt_paths_other_protocols_and_requests_without_limits_are_not_counted(
    limiter: Limiter,
) -> None:
    limited = RateLimitMiddleware(app, limiter=limiter, limits=by_address, denied=denied, exempt=["/healthz"])
    unlimited = RateLimitMiddleware(app, limiter=limiter, limits=lambda scope: [], denied=denied)
    for _ in range(3):
        for sent in (
            await ask(limited, "/healthz"),
            await ask(limited, kind="websocket"),
            await ask(unlimited),
        ):
            assert sent[0]["headers"] == [(b"RateLimit", b'"inner";r=1')]
    assert (await ask(limited))[0]["status"] == 200


async def test_an_outage_is_refused_as_an_outage_and_keeps_the_applications_own_retry_after(
    server: Server,
) -> None:
    async def refuse(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 503, "headers": [(b"Retry-After", b"9")]})

    async with open_redis(RedisSettings(server.url)) as redis:
        server.kill()
        limiter = Limiter(redis)
        limited = RateLimitMiddleware(app, limiter=limiter, limits=by_address, denied=denied)
        (start, _) = await ask(limited)
        assert (start["status"], start["headers"]) == (503, [(b"retry-after", b"1")])
        own = RateLimitMiddleware(app, limiter=limiter, limits=by_address, denied=lambda decision: refuse)
        assert (await ask(own))[0]["headers"] == [(b"Retry-After", b"9")]
