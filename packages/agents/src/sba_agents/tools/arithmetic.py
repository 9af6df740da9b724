"""Arithmetic on decimals: a tokenizer, a Pratt parser and an evaluator that cannot run away."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Context, Decimal, DecimalException, DivisionByZero, InvalidOperation, Overflow
from typing import Final, Literal

from sba_agents.errors import ToolFailed

MAX_LENGTH: Final = 256
MAX_DEPTH: Final = 32
MAX_DIGITS: Final = 40
MAX_POWER: Final = 1_000
PRECISION: Final = 50
MAX_MAGNITUDE: Final = 1_000

Kind = Literal["number", "operator", "end"]

_TOKEN: Final = re.compile(
    r"(?P<space>[ \t\r\n]+)|(?P<number>(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)"
    r"|(?P<operator>\*\*|[-+*/%^()])"
)
_SPELLINGS: Final = str.maketrans({"\u00d7": "*", "\u00f7": "/", "\u2212": "-"})
_SUM: Final = 10
_PRODUCT: Final = 20
_SIGN: Final = 30
_POWER: Final = 40


@dataclass(frozen=True, slots=True)
class Token:
    """One word of an expression.

    Attributes:
        kind: What it is.
        text: As it was written, `^` for both spellings of power.
        at: Its position in the expression, from 1.
    """

    kind: Kind
    text: str
    at: int


def evaluate(expression: str) -> Decimal:
    """The value of an arithmetic expression.

    Understands decimal numbers, `+ - * / %`, `^` or `**` (binds to the right and tighter than a sign) and
    parentheses. `%` is the remainder and takes the sign of its left side. Results are rounded to 50 digits.

    Args:
        expression: At most 256 characters.

    Returns:
        A finite decimal.

    Raises:
        ToolFailed: `too_long`, `too_deep`, `syntax`, `number_too_large`, `division_by_zero`, `overflow`,
            `exponent_too_large` or `undefined`.
    """
    if len(expression) > MAX_LENGTH:
        raise ToolFailed("too_long", f"an expression has at most {MAX_LENGTH} characters")
    return _Parser(_tokens(expression)).value()


def plain(value: Decimal) -> str:
    """A decimal as people write it: no trailing zeros, an exponent only where it is long."""
    if value == 0:
        return "0"
    short = value.normalize(_context())
    return f"{short:f}" if abs(short.adjusted()) <= PRECISION else f"{short:E}"


def _context() -> Context:
    return Context(
        prec=PRECISION,
        Emax=MAX_MAGNITUDE,
        Emin=-MAX_MAGNITUDE,
        traps=[DivisionByZero, InvalidOperation, Overflow],
    )


def _tokens(expression: str) -> list[Token]:
    text = expression.translate(_SPELLINGS)
    tokens: list[Token] = []
    at = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise ToolFailed("syntax", f"unexpected character at position {at + 1}")
        if match.lastgroup != "space":
            tokens.append(_token(match))
        at = match.end()
    return [*tokens, Token("end", "", len(text) + 1)]


def _token(match: re.Match[str]) -> Token:
    word = match.group()
    if match.lastgroup == "number":
        _check_size(word)
        return Token("number", word, match.start() + 1)
    return Token("operator", "^" if word == "**" else word, match.start() + 1)


def _check_size(number: str) -> None:
    digits, _, exponent = number.lower().partition("e")
    if len(digits) > MAX_DIGITS or len(exponent) > len(str(-MAX_MAGNITUDE)):
        raise ToolFailed("number_too_large", f"a number has at most {MAX_DIGITS} digits")


class _Parser:
    """Pratt's: each operator has a binding power, the loop stops at a weaker one."""

    def __init__(self, tokens: list[Token]) -> None:
        self._tokens = tokens
        self._next = 0
        self._depth = 0
        self._math = _Arithmetic()

    def value(self) -> Decimal:
        result = self._expression(0)
        if self._peek().kind != "end":
            raise _unexpected(self._peek())
        return result

    def _peek(self) -> Token:
        return self._tokens[self._next]

    def _take(self) -> Token:
        token = self._peek()
        self._next += 1
        return token

    def _expression(self, weaker: int) -> Decimal:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise ToolFailed("too_deep", f"an expression nests at most {MAX_DEPTH} levels")
        left = self._operand(self._take())
        while self._binding() > weaker:
            left = self._apply(left, self._take().text)
        self._depth -= 1
        return left

    def _binding(self) -> int:
        return _BINDING.get(self._peek().text, 0)

    def _apply(self, left: Decimal, operator: str) -> Decimal:
        bound = _BINDING[operator]
        right = self._expression(bound - 1 if operator == "^" else bound)
        return self._math.apply(operator, left, right)

    def _operand(self, token: Token) -> Decimal:
        if token.kind == "number":
            return self._math.number(token.text)
        if token.text in {"+", "-"}:
            value = self._expression(_SIGN)
            return value.copy_negate() if token.text == "-" else value
        if token.text == "(":
            return self._group()
        raise _unexpected(token)

    def _group(self) -> Decimal:
        value = self._expression(0)
        if self._take().text != ")":
            raise ToolFailed("syntax", "a parenthesis is not closed")
        return value


_BINDING: Final[Mapping[str, int]] = {
    "+": _SUM,
    "-": _SUM,
    "*": _PRODUCT,
    "/": _PRODUCT,
    "%": _PRODUCT,
    "^": _POWER,
}


class _Arithmetic:
    """The five operations with decimal faults turned into reasons."""

    def __init__(self) -> None:
        self._context = _context()
        self._operations: Mapping[str, Callable[[Decimal, Decimal], Decimal]] = {
            "+": self._context.add,
            "-": self._context.subtract,
            "*": self._context.multiply,
            "/": self._context.divide,
            "%": self._context.remainder,
            "^": self._power,
        }

    def number(self, text: str) -> Decimal:
        try:
            return self._context.create_decimal(text)
        except DecimalException as error:
            raise _reason(error) from None

    def apply(self, operator: str, left: Decimal, right: Decimal) -> Decimal:
        if operator in {"/", "%"} and right == 0:
            raise ToolFailed("division_by_zero", "a number cannot be divided by zero")
        try:
            return self._operations[operator](left, right)
        except DecimalException as error:
            raise _reason(error) from None

    def _power(self, base: Decimal, exponent: Decimal) -> Decimal:
        if exponent.copy_abs() > MAX_POWER:
            raise ToolFailed("exponent_too_large", f"an exponent is at most {MAX_POWER}")
        if base == 0 and exponent < 0:
            raise ToolFailed("division_by_zero", "a number cannot be divided by zero")
        return self._context.power(base, exponent)


def _reason(error: DecimalException) -> ToolFailed:
    if isinstance(error, Overflow):
        return ToolFailed("overflow", "the result is too large")
    return ToolFailed("undefined", "the result is not defined")


def _unexpected(token: Token) -> ToolFailed:
    if token.kind == "end":
        return ToolFailed("syntax", "the expression ends too early")
    return ToolFailed("syntax", f"unexpected {token.text!r} at position {token.at}")
