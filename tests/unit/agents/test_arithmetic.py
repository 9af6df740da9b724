"""The calculator: right for everything it accepts, and a reason for everything it refuses."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sba_agents.errors import ToolFailed
from sba_agents.tools.arithmetic import MAX_DEPTH, MAX_LENGTH, evaluate, plain


@dataclass(frozen=True)
class Tree:
    """A reference: its text is written with as few parentheses as the rules allow, its value is exact."""

    text: str
    value: Fraction
    binding: int


def number(digits: int) -> Tree:
    return Tree(str(digits), Fraction(digits), 100)


def wrapped(tree: Tree, weakest: int) -> str:
    return f"({tree.text})" if tree.binding < weakest else tree.text


def added(pair: tuple[Tree, Tree]) -> Tree:
    left, right = pair
    return Tree(f"{wrapped(left, 10)} + {wrapped(right, 11)}", left.value + right.value, 10)


def subtracted(pair: tuple[Tree, Tree]) -> Tree:
    left, right = pair
    return Tree(f"{wrapped(left, 10)}- {wrapped(right, 11)}", left.value - right.value, 10)


def multiplied(pair: tuple[Tree, Tree]) -> Tree:
    left, right = pair
    return Tree(f"{wrapped(left, 20)}*{wrapped(right, 21)}", left.value * right.value, 20)


def negated(tree: Tree) -> Tree:
    return Tree(f"-{wrapped(tree, 30)}", -tree.value, 30)


def squared(tree: Tree) -> Tree:
    return Tree(f"{wrapped(tree, 41)}^2", tree.value**2, 40)


def grown(inner: st.SearchStrategy[Tree]) -> st.SearchStrategy[Tree]:
    pairs = st.tuples(inner, inner)
    binary = pairs.map(added) | pairs.map(subtracted) | pairs.map(multiplied)
    return binary | inner.map(negated) | inner.map(squared)


def ends_well(text: str) -> bool:
    try:
        return evaluate(text).is_finite()
    except ToolFailed as failure:
        return bool(failure.code and failure.message)


trees = st.recursive(st.integers(0, 99).map(number), grown, max_leaves=6).filter(
    lambda tree: len(tree.text) <= MAX_LENGTH and abs(tree.value) < 10**49
)


@given(trees)
def test_it_agrees_with_exact_arithmetic_on_every_tree(tree: Tree) -> None:
    assert Fraction(evaluate(tree.text)) == tree.value


@given(st.integers(-(10**12), 10**12), st.integers(1, 10**12))
def test_division_is_right_to_the_last_of_its_digits(dividend: int, divisor: int) -> None:
    exact = Fraction(dividend, divisor)
    assert abs(Fraction(evaluate(f"({dividend}) / {divisor}")) - exact) <= abs(exact) / 10**49


@given(st.integers(0, 10**9), st.integers(1, 10**6))
def test_a_remainder_and_its_quotient_make_the_number_again(left: int, right: int) -> None:
    assert int(evaluate(f"{left} % {right}")) == left % right


@given(st.text(max_size=40))
def test_any_text_is_a_number_or_a_reason(text: str) -> None:
    assert ends_well(text)


@given(st.text(alphabet="0123456789.eE+-*/%^() ", max_size=60))
def test_any_arithmetic_looking_text_is_a_number_or_a_reason(text: str) -> None:
    assert ends_well(text)


@pytest.mark.parametrize(
    ("expression", "result"),
    [
        ("2*(3+4)", "14"),
        ("2 + 3 * 4", "14"),
        ("10 - 4 - 3", "3"),
        ("100 / 10 / 2", "5"),
        ("2^3^2", "512"),
        ("2 ** 10", "1024"),
        ("-2^2", "-4"),
        ("(-2)^2", "4"),
        ("2^-1", "0.5"),
        ("2*-3", "-6"),
        ("--3", "3"),
        ("+5", "5"),
        ("0.1 + 0.2", "0.3"),
        ("1e3 / 4", "250"),
        (".5 + 1.", "1.5"),
        ("7 \u00d7 6 \u00f7 2 \u2212 1", "20"),
        ("-7 % 3", "-1"),
        ("4 ^ 0.5 * 9 ^ 0.5", "6"),
        ("0 * -1", "0"),
        ("1" * 40, "1" * 40),
        ("-" + "1" * 40, "-" + "1" * 40),
        ("10^60", "1E+60"),
        ("1/3", "0." + "3" * 50),
    ],
)
def test_it_calculates_as_people_expect(expression: str, result: str) -> None:
    assert plain(evaluate(expression)) == result


@pytest.mark.parametrize(
    ("expression", "code"),
    [
        ("1/0", "division_by_zero"),
        ("1 % (2-2)", "division_by_zero"),
        ("0^-1", "division_by_zero"),
        ("0^0", "undefined"),
        ("(-1)^0.5", "undefined"),
        ("9^999^2", "exponent_too_large"),
        ("10^1000*10", "overflow"),
        ("9.9e999 * 9.9e999", "overflow"),
        ("1e999999", "number_too_large"),
        ("1e2000", "overflow"),
        ("1" * 41, "number_too_large"),
        ("1+" * 200 + "1", "too_long"),
        ("(" * (MAX_DEPTH + 1) + "1" + ")" * (MAX_DEPTH + 1), "too_deep"),
        ("-" * 60 + "1", "too_deep"),
        ("2^" * 60 + "1", "too_deep"),
        ("", "syntax"),
        ("1 +", "syntax"),
        ("(1 + 2", "syntax"),
        ("1 + 2)", "syntax"),
        ("1 2", "syntax"),
        ("* 3", "syntax"),
        ("()", "syntax"),
        ("1.2.3", "syntax"),
        ("__import__('os')", "syntax"),
        ("1 if 1 else 2", "syntax"),
        ("1 + x", "syntax"),
        ("1;2", "syntax"),
        ("٣+٤", "syntax"),
        ("1_000", "syntax"),
        ("nan", "syntax"),
        ("inf", "syntax"),
        ("1\x00", "syntax"),
    ],
)
def test_it_refuses_with_a_code(expression: str, code: str) -> None:
    with pytest.raises(ToolFailed) as caught:
        evaluate(expression)
    assert caught.value.code == code


def test_a_syntax_reason_says_where() -> None:
    with pytest.raises(ToolFailed, match="position 5"):
        evaluate("1 + $")


def test_plain_keeps_what_a_decimal_says() -> None:
    assert plain(Decimal("1.500")) == "1.5"
    assert plain(Decimal("-0.0")) == "0"
    assert plain(Decimal("1200")) == "1200"
