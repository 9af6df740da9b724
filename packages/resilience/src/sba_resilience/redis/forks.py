"""A forked child keeps away from the connections of its parent."""

from __future__ import annotations

import os
from typing import Final, Protocol
from weakref import WeakSet

FORKED: Final = "opened before the process was forked: open one in the child"


class Inherited(Protocol):
    """What a child gets a useless copy of."""

    def forked(self) -> None:
        """Refuse from now on, and touch nothing that is shared with the parent."""


_open: WeakSet[Inherited] = WeakSet()


def tell_of_fork(inherited: Inherited) -> None:
    """Have `forked` called in every child, for as long as this lives."""
    _open.add(inherited)


def lead_nowhere(descriptor: int) -> None:
    """Make this process's copy of an open socket a copy of `/dev/null`.

    Closing the copy would be seen by the parent's event loop, whose selector the child shares.
    """
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, descriptor, inheritable=False)
    os.close(nothing)


def _forked() -> None:
    for inherited in tuple(_open):
        inherited.forked()


os.register_at_fork(after_in_child=_forked)
