"""The Prefer header (PostgREST: references/api/preferences)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from sba_local.supabase.rest.errors import RestError

_KNOWN: Final = {
    "return": ("representation", "minimal", "headers-only"),
    "count": ("exact", "planned", "estimated"),
    "resolution": ("merge-duplicates", "ignore-duplicates"),
    "missing": ("default", "null"),
    "tx": ("commit", "rollback"),
    "handling": ("strict", "lenient"),
}
_REPORTED: Final = ("resolution", "missing", "return", "count", "tx", "handling", "timezone", "max-affected")


@dataclass(frozen=True, slots=True)
class Preferences:
    """What the caller prefers.

    Attributes:
        chosen: the preferences that are understood, by name.
        unknown: those that are not, as they were written.
    """

    chosen: dict[str, str]
    unknown: tuple[str, ...]

    @property
    def strict(self) -> bool:
        """Whether what is not understood is refused."""
        return self.chosen.get("handling") == "strict"

    @property
    def count(self) -> str | None:
        """How to count: exact, planned or estimated."""
        return self.chosen.get("count")

    @property
    def returning(self) -> str:
        """What a write answers with."""
        return self.chosen.get("return", "minimal")

    @property
    def resolution(self) -> str | None:
        """What to do with duplicates."""
        return self.chosen.get("resolution")

    @property
    def defaults(self) -> bool:
        """Whether missing members become the column's default rather than null."""
        return self.chosen.get("missing") == "default"

    @property
    def rollback(self) -> bool:
        """Whether nothing is to be kept."""
        return self.chosen.get("tx") == "rollback"

    @property
    def timezone(self) -> str | None:
        """The time zone to answer in."""
        return self.chosen.get("timezone")

    @property
    def most(self) -> int | None:
        """How many rows may be affected; counts only where handling is strict."""
        most = self.chosen.get("max-affected")
        return int(most) if most is not None and self.strict else None

    def applied(self, *ignored: str) -> str:
        """The Preference-Applied header."""
        return ", ".join(
            f"{name}={self.chosen[name]}" for name in _REPORTED if name in self.chosen and name not in ignored
        )


def parse_preferences(headers: Iterable[str]) -> Preferences:
    """Read the Prefer headers.

    Raises:
        RestError: PGRST122, with `handling=strict` one is not understood.
    """
    chosen: dict[str, str] = {}
    unknown: list[str] = []
    for written in (part.strip() for header in headers for part in header.split(",")):
        name, _, value = written.partition("=")
        if _understood(name, value):
            chosen.setdefault(name, value)
        elif written:
            unknown.append(written)
    preferences = Preferences(chosen, tuple(unknown))
    if preferences.strict and unknown:
        raise refused(unknown)
    return preferences


def refused(unknown: Iterable[str]) -> RestError:
    """PGRST122."""
    return RestError(
        400,
        "PGRST122",
        "Invalid preferences given with handling=strict",
        f"Invalid preferences: {', '.join(unknown)}",
    )


def _understood(name: str, value: str) -> bool:
    if name == "max-affected":
        return value.isascii() and value.isdecimal() and len(value) < 10  # noqa: PLR2004  # fits a count of rows
    return bool(value) if name == "timezone" else value in _KNOWN.get(name, ())
