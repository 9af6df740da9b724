"""Which prompts are taken for arithmetic, at whatever length they come."""

from __future__ import annotations

import pytest

from sba_agents.runners.extractive import arithmetic


@pytest.mark.parametrize(
    ("prompt", "expression"),
    [
        ("calculate: 6 * 7", "6 * 7"),
        ("  HITUNG : 2^10 ", "2^10"),
        ("2*(3+4)", "2*(3+4)"),
        (" 1 + 1 = ? ", "1 + 1"),
        ("10 \u00d7 3", "10 \u00d7 3"),
    ],
)
def test_arithmetic_is_known(prompt: str, expression: str) -> None:
    assert arithmetic(prompt) == expression


@pytest.mark.parametrize(
    "prompt", ["What is 2 + 2?", "42", "+", "calculate:", "Berapa harganya?", "", "1+" + " " * 500 + "1"]
)
def test_anything_else_is_a_question(prompt: str) -> None:
    assert arithmetic(prompt) is None


@pytest.mark.parametrize("filler", [" ", "1", "(", "+ ", "\n", "= ", "? ="])
@pytest.mark.timeout(5)
def test_a_long_prompt_is_given_up_at_once(filler: str) -> None:
    assert arithmetic("1+" + filler * 16_000 + "x") is None
