"""What every log line and span of the current task should say about where it came from."""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar, Token
from types import MappingProxyType, TracebackType
from typing import Final

_EMPTY: Final[Mapping[str, str]] = MappingProxyType({})
_fields: ContextVar[Mapping[str, str]] = ContextVar("sba_telemetry_context", default=_EMPTY)


class Bound:
    """The scope in which fields given to `bind` are visible; entered once."""

    __slots__ = ("_added", "_token")
    _token: Token[Mapping[str, str]]

    def __init__(self, added: Mapping[str, object]) -> None:
        self._added = added

    def __enter__(self) -> Mapping[str, str]:
        added = {name: str(value) for name, value in self._added.items() if value is not None}
        merged = MappingProxyType({**_fields.get(), **added})
        self._token = _fields.set(merged)
        return merged

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _fields.reset(self._token)


def bind(**fields: object) -> Bound:
    """Add fields to every log line and span inside a ``with`` block, and in the tasks started there.

    Args:
        **fields: Identifiers such as ``request_id``, ``tenant_id``, ``run_id`` or ``job_id``. Values are
            turned into strings; ``None`` is left out. This is for telemetry only, never for authorization.

    Returns:
        A context manager that yields all fields now bound.
    """
    return Bound(fields)


def current() -> Mapping[str, str]:
    """Return the fields bound in this task, read-only."""
    return _fields.get()
