"""A column, or a path into it: `col->a->>b`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from sba_local.supabase.rest.scanner import Scanner

_KEY: Final = re.compile(r"[^(\-:.,>)\"]+(?:-(?!>)[^(\-:.,>)]+)*")
_INDEX: Final = re.compile(r"-?\d{1,9}(?=->|::|[.,)]|$)")


@dataclass(frozen=True, slots=True)
class Step:
    """One arrow.

    Attributes:
        key: member of an object, or index of an array.
        text: whether it gives text (`->>`).
    """

    key: str | int
    text: bool


@dataclass(frozen=True, slots=True)
class Field:
    """A column or a path into one."""

    name: str
    path: tuple[Step, ...] = ()

    @property
    def label(self) -> str:
        """What it is called in the answer: the last member named."""
        keys = [step.key for step in self.path if isinstance(step.key, str)]
        return keys[-1] if keys else self.name


def read_field(scanner: Scanner) -> Field:
    """The field that stands here."""
    return Field(scanner.name(), read_path(scanner))


def read_path(scanner: Scanner) -> tuple[Step, ...]:
    """The arrows that stand here."""
    steps: list[Step] = []
    while scanner.take("->"):
        text = scanner.take(">")
        index = scanner.match(_INDEX)
        steps.append(Step(int(index) if index is not None else scanner.name(_KEY), text))
    return tuple(steps)
