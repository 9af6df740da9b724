"""Invalidations a server acknowledged lately, which it may have forgotten when another takes its place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

MOST: Final = 10_000
"""Names remembered; beyond, those of a tenant become one for all its values."""
LATELY: Final = 3600.0
"""Seconds for which a server may not have saved, or replicated, what it acknowledged."""


class Acknowledged:
    """Names that were changed on a server, for as long as it may lose that again.

    Args:
        clock: Monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._names: dict[str, float] = {}

    def __len__(self) -> int:
        return len(self._names)

    def add(self, name: str) -> None:
        """Remember a name from now on."""
        self._names.pop(name, None)
        self._names[name] = self._clock()
        if len(self._names) > MOST:
            self._shrink()

    def take(self) -> list[str]:
        """All names of late, the earliest first; they are forgotten here."""
        self._forget()
        names = list(self._names)
        self._names.clear()
        return names

    def _shrink(self) -> None:
        """Make room for many more at once: of tenants of whom there are too many, the earliest go."""
        self._forget()
        if len(self._names) <= MOST // 2:
            return
        tenants: dict[str, float] = {}
        for name, when in self._names.items():
            tenant = tenant_of(name)
            tenants.pop(tenant, None)
            tenants[tenant] = when
        surplus = max(0, len(tenants) - MOST // 2)
        self._names = dict(list(tenants.items())[surplus:])

    def _forget(self) -> None:
        since = self._clock() - LATELY
        for name, when in list(self._names.items()):
            if when > since:
                return
            del self._names[name]


def tenant_of(name: str) -> str:
    """The version of all values of the tenant that a version is of."""
    return name[: name.index("}") + 1]
