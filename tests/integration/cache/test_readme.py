"""The README's example runs."""

from __future__ import annotations

from tests.integration.resilience.readme import run_examples


async def test_the_example_runs(redis_url: str) -> None:
    assert await run_examples("cache", redis_url) == ["Answer(text='forty-two', score=0.9)\n4 4\n"]
