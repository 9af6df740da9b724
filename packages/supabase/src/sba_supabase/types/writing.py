"""The generated module on disk: written, or compared with the database."""

from __future__ import annotations

from difflib import unified_diff
from pathlib import Path

from sba_supabase.types.generation import generate
from sba_supabase.types.introspection import read_catalog


async def types_of(url: str, *, schema: str = "public") -> str:
    """The module of a database's types.

    Args:
        url: a login that may connect.
        schema: whose types.

    Raises:
        IntrospectionFailed: the database cannot be read.
    """
    return generate(await read_catalog(url, schema), schema)


def write_types(text: str, file: Path) -> bool:
    """Write the module where it has changed, and say whether it has."""
    if _current(file) == text:
        return False
    file.write_text(text, "utf-8")
    return True


def drift(text: str, file: Path) -> str:
    """How the module on disk differs from the database's, empty when it does not."""
    lines = unified_diff(
        _current(file).splitlines(), text.splitlines(), str(file), "the database", lineterm="", n=1
    )
    return "\n".join(lines)


def _current(file: Path) -> str:
    return file.read_text("utf-8") if file.is_file() else ""
