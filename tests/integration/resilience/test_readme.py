"""The README's examples run."""

from __future__ import annotations

from tests.integration.resilience.readme import run_examples


async def test_the_examples_run(redis_url: str) -> None:
    commands, following, watching = await run_examples("resilience", redis_url)
    assert commands == "b'hello'\n2\n"
    assert following.startswith("news ")
    assert following.endswith("{b'text': b'hello'}\n")
    assert watching.startswith("None is still true ")
