"""Statements as the server wants them: named parameters become numbered ones, once per text."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from sba_db.errors import StatementRefused
from sba_db.scripts import masked

FILTER: Final = "tenant"
_SETTING: Final = re.compile(r"\bset_config\b", re.IGNORECASE)
_MORE: Final = re.compile(r";\s*\S")
_PLACEHOLDER: Final = re.compile(r"%(?:\((?P<name>\w+)\)s|(?P<literal>%)|(?P<bad>.|$))", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement with `$1`, `$2`, … and the names of what they bind.

    Attributes:
        sql: The text as the server takes it.
        names: What `$1`, `$2`, … bind.
        refusal: Why no session of a tenant sends it; empty when nothing is wrong with it.
    """

    sql: bytes
    names: tuple[str, ...]
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
    names: dict[str, int] = {}
    sql = "".join(_pieces(query, names))
    return Statement(sql.encode(), tuple(names), _refusal(query))


def _refusal(query: str) -> str:
    if _SETTING.search(query):
        return "a statement that changes settings: the tenant is one of them"
    return "more than one statement" if _MORE.search(masked(query)) else ""


def _pieces(query: str, names: dict[str, int]) -> Iterator[str]:
    at = 0
    for found in _PLACEHOLDER.finditer(query):
        if found["bad"] is not None:
            raise StatementRefused("a percent sign that is neither %(name)s nor %%")
        yield query[at : found.start()]
        yield "%" if found["literal"] else f"${names.setdefault(found['name'], len(names) + 1)}"
        at = found.end()
    yield query[at:]
