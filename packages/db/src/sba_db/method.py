"""What every repository method carries: a span named after it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Coroutine
from types import MappingProxyType
from typing import Any, Concatenate, ParamSpec, TypeVar

from sba_telemetry.traces import span

P = ParamSpec("P")
R = TypeVar("R")
S = TypeVar("S")


def repository_method(
    function: Callable[Concatenate[S, P], Coroutine[Any, Any, R]],
) -> Callable[Concatenate[S, P], Coroutine[Any, Any, R]]:
    """Run the method in a client span `<module>.<function>` that knows its tenant."""
    name = f"{function.__module__.rpartition('.')[2]}.{function.__name__}"
    attributes = MappingProxyType({"db.system.name": "postgresql", "db.operation.name": name})

    @functools.wraps(function)
    async def traced(session: S, /, *args: P.args, **kwargs: P.kwargs) -> R:
        with span(name, kind="client", attributes=attributes) as current:
            tenant_id = getattr(session, "tenant_id", None)
            if tenant_id is not None and current.is_recording():
                current.set_attribute("sba.tenant_id", str(tenant_id))
            return await function(session, *args, **kwargs)

    return traced
