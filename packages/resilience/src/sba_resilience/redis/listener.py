"""Whom to tell, for as long as there is someone."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from types import MethodType
from typing import TypeAlias
from weakref import WeakMethod

Listener: TypeAlias = "Callable[[str], None]"


def listener(changed: Listener, gone: Callable[[], None]) -> Callable[[], Listener | None]:
    """Holds a function, or a method without keeping its object alive.

    Args:
        changed: The function or method.
        gone: Called in the event loop once the object whose method it is has gone.

    Returns:
        Gives the function or method; None once there is nobody to tell.
    """
    if not isinstance(changed, MethodType):
        return lambda: changed
    loop = asyncio.get_running_loop()

    def tell(_: object) -> None:
        with contextlib.suppress(RuntimeError):  # the event loop has ended
            loop.call_soon_threadsafe(gone)

    try:
        return WeakMethod(changed, tell)
    except TypeError:
        return lambda: changed
