"""Statements as the server wants them: named parameters become numbered ones, once per text."""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sba_db.errors import StatementRefused
from sba_db.scripts import masked

FILTER: Final = "tenant"
_SETTING: Final = re.compile(r'\b(?:set_config|pg_settings)\b|\bu&"', re.IGNORECASE)
_ROWS: Final = re.compile(
    r"[\s(]*(?:select|insert|update|delete|merge|with|values|table|explain)\b", re.IGNORECASE
)
_MORE: Final = re.compile(r";\s*\S")
_PLACEHOLDER: Final = re.compile(r"%(?:\((?P<name>\w+)\)s|(?P<literal>%)|(?P<bad>.|$))", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement with `$1`, `$2`, … and the names of what they bind.

    Attributes:
        sql: The text as the server takes it.
        names: What `$1`, `$2`, … bind.
        template: The text with `%b` for each value, `%%` for a percent sign.
        order: What each `%b` is.
        refusal: Why no session of a tenant sends it; empty when nothing is wrong with it.
    """

    sql: bytes
    names: tuple[str, ...]
    template: bytes
    order: tuple[str, ...]
    refusal: str = ""

    @property
    def tenant_bound(self) -> bool:
        """Whether it names `%(tenant)s`."""
        return FILTER in self.names


@functools.lru_cache(maxsize=4096)
def parse(query: str) -> Statement:
    """The statement that a text with `%(name)s` placeholders means; `%%` is a percent sign.

    Raises:
        StatementRefused: Another use of the percent sign.
    """
    texts: list[str] = []
    order: list[str] = []
    at = 0
    for found in _PLACEHOLDER.finditer(query):
        if found["bad"] is not None:
            raise StatementRefused("a percent sign that is neither %(name)s nor %%")
        texts.append(query[at : found.start()])
        order.append(found["name"] or "")
        at = found.end()
    texts.append(query[at:])
    return _statement(texts, order, _refusal(query))


def _statement(texts: Sequence[str], order: Sequence[str], refusal: str) -> Statement:
    """A statement of texts, and of what stands between them: a name, or nothing for a percent sign."""
    names = {name: f"${at}" for at, name in enumerate(dict.fromkeys(filter(None, order)), 1)}
    sql = _joined(texts, [names.get(name, "%") for name in order])
    template = _joined(texts, ["%b" if name else "%%" for name in order])
    return Statement(sql, tuple(names), template, tuple(filter(None, order)), refusal)


def _joined(texts: Sequence[str], between: Sequence[str]) -> bytes:
    pairs = zip(texts, [*between, ""], strict=True)
    return "".join(text + piece for text, piece in pairs).encode()


def _refusal(query: str) -> str:
    if _SETTING.search(query):
        return "a statement that changes settings: the tenant is one of them"
    code = masked(query)
    if _MORE.search(code):
        return "more than one statement"
    return "" if _ROWS.match(code) else "a statement that neither reads nor writes rows"
