"""The README's examples run."""

from __future__ import annotations

from tests.integration.resilience.readme import run_examples


async def test_the_examples_run(redis_url: str) -> None:
    check, hold, plans, middleware = await run_examples("ratelimit", redis_url)
    assert check.startswith("True 9 0.0 False\n")
    assert """('RateLimit-Policy', '"tenant";q=60;w=60, "user";q=10;w=60')""" in check
    assert """('RateLimit', '"tenant";r=59;t=60, "user";r=9;t=6')""" in check
    assert hold == "True False\nFalse True True\n"
    assert plans == "['tenant', 'user', 'route'] True\n"
    assert middleware == ""
