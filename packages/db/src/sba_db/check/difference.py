"""One thing that is not as it should be."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Difference:
    """One line of what `sba-db check` reports.

    Attributes:
        place: The table, `table.column`, or other object, without the schema.
        problem: What is wrong with it.
    """

    place: str
    problem: str

    def __str__(self) -> str:
        """The line."""
        return f"{self.place}: {self.problem}"
