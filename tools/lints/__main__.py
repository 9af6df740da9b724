"""`python -m tools.lints [ROOT]`: run every rule; exit 1 when one is broken."""

from __future__ import annotations

import importlib
import pkgutil
import sys
from collections.abc import Iterator
from pathlib import Path

import tools.lints as package
from tools.lints import Violation


def rules() -> Iterator[str]:
    """The name of each rule's module."""
    return (module.name for module in pkgutil.iter_modules(package.__path__) if module.name != "__main__")


def broken(rule: str, root: Path) -> list[Violation]:
    """The places below `root` that break one rule."""
    return sorted(importlib.import_module(f"tools.lints.{rule}").violations(root))


def main(arguments: list[str]) -> int:
    """Print every violation under its rule."""
    root = Path(arguments[0] if arguments else ".").resolve()
    found = {rule: broken(rule, root) for rule in rules()}
    for rule, violations in found.items():
        for violation in violations:
            print(f"{violation}  [{rule}]")
    count = sum(map(len, found.values()))
    print(f"{len(found)} house rules, {count} broken places")
    return 1 if count else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
