"""Values travel beside the statement, never in it."""

from __future__ import annotations

from collections.abc import Iterable

from psycopg import sql

from sba_local.supabase.rest.errors import null_character

Part = sql.Composable


class Binds:
    """The parameters of one statement."""

    def __init__(self) -> None:
        self.values: dict[str, str | None] = {}

    def add(self, value: str | None) -> Part:
        """Bind a value and give its place in the statement; Postgres infers its type from there."""
        name = f"p{len(self.values)}"
        self.values[name] = value
        return sql.Placeholder(name)


def quoted(*names: str) -> Part:
    """A name, quoted; a percent sign in it is kept from reading as a value's place.

    Raises:
        RestError: 22021, no name has a NUL.
    """
    if any("\0" in name for name in names):
        raise null_character()
    return sql.Identifier(*(name.replace("%", "%%") for name in names))


def listed(parts: Iterable[Part]) -> Part:
    """Parts with commas between."""
    return sql.SQL(", ").join(parts)


def all_of(parts: Iterable[Part]) -> Part:
    """Conditions of which every one must hold."""
    return sql.SQL(" and ").join(parts)


def array_literal(values: Iterable[str]) -> str:
    """Values as Postgres reads an array from text."""
    escaped = (value.replace("\\", "\\\\").replace('"', '\\"') for value in values)
    return "{" + ",".join(f'"{value}"' for value in escaped) + "}"
