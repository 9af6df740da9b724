"""Python's names for what a database calls as it likes, and its text in Python's literals."""

from __future__ import annotations

import json
import keyword
import re
import unicodedata
from collections.abc import Collection
from typing import Final

from sba_supabase.types.schema import Write

_NOT_NAME: Final = re.compile(r"\W+")
_WORD: Final = re.compile(r"[^\W_]+")
_LONGEST_DOC: Final = 90
IMPORTED: Final = frozenset(
    {"AwareDatetime", "Decimal", "Field", "Final", "JsonValue", "NaiveDatetime", "ReadOnly", "Row", "Rpc"}
    | {"OMITTED", "StrEnum", "Table", "TypeAdapter", "UUID", "Write", "date_type", "time_type"}
)
_ANNOTATING: Final = IMPORTED | {"bool", "float", "int", "list", "str"}


def class_name(name: str) -> str:
    """`agent_runs` as `AgentRuns`."""
    words = "".join(word[0].upper() + word[1:] for word in _WORD.findall(_normal(name)))
    return words if words[:1].isalpha() else f"N{words}"


def enum_name(name: str) -> str:
    """An enum's class, which has no ending to tell it from what the module imports."""
    spelled = class_name(name)
    return f"{spelled}Enum" if spelled in IMPORTED or keyword.iskeyword(spelled) else spelled


def constant_name(name: str) -> str:
    """`agent_runs` as `AGENT_RUNS`."""
    text = _normal(_NOT_NAME.sub("_", _normal(name)).strip("_").upper())
    return text if text[:1].isalpha() else f"N_{text}"


def field_name(name: str, named: Collection[str] = ()) -> str:
    """A column as a model's field: itself, where it can be.

    Args:
        name: the column's.
        named: what else annotations of the module name.
    """
    text = _NOT_NAME.sub("_", _normal(name)).lstrip("_") or "field"
    if not text.isidentifier():
        text = f"n_{text}"
    taken = keyword.iskeyword(text) or hasattr(Write, text) or text.startswith("model_")
    return f"{text}_" if taken or text in _ANNOTATING or text in named else text


def _normal(name: str) -> str:
    """A name as Python reads it, which takes some letters for one; those it takes for none are left out."""
    letters = unicodedata.normalize("NFKC", name)
    return "".join(each if each.isascii() or f"a{each}".isidentifier() else " " for each in letters)


def literal(text: str) -> str:
    """Text as a Python literal in double quotes, whatever is in it."""
    told = json.dumps(text, ensure_ascii=False)
    return "".join(letter if letter.isprintable() else f"\\U{ord(letter):08x}" for letter in told)


def sentence(text: str | None, fallback: str) -> str:
    """One line fit for a docstring: the first of a comment, or something to say instead."""
    lines = (text or "").strip().splitlines()
    line = "".join(letter for letter in (lines[0] if lines else fallback) if letter.isprintable())
    line = line.replace("\\", "/").replace('"', "'").strip()
    if len(line) > _LONGEST_DOC:
        line = f"{line[:_LONGEST_DOC].rsplit(' ', 1)[0]}…"
    return line if line.endswith((".", "!", "?")) else f"{line}."
