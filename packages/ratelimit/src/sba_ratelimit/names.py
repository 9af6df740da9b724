"""Names of limits as metric labels: few, whatever the names."""

from __future__ import annotations

OTHERS = "other"


class FewNames:
    """The first names seen are shown, the rest together.

    Args:
        most: Names shown.
    """

    __slots__ = ("_most", "_seen")

    def __init__(self, most: int) -> None:
        self._most = most
        self._seen: set[str] = set()

    def shown(self, name: str) -> str:
        """The name, or `other` when there are too many."""
        if name in self._seen:
            return name
        if len(self._seen) >= self._most:
            return OTHERS
        self._seen.add(name)
        return name
