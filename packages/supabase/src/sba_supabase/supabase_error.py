"""The root of this package's errors; `errors` draws the tree."""

from __future__ import annotations

from typing import Any, ClassVar


class SupabaseError(Exception):
    """The root of this package's errors. Each can be copied and sent to another process as it is."""

    code: ClassVar[str] = "supabase_error"

    def __reduce__(self) -> tuple[Any, ...]:
        return _again, (type(self), self.args, dict(self.__dict__))


def _again(kind: type[SupabaseError], words: tuple[Any, ...], fields: dict[str, Any]) -> SupabaseError:
    error = kind.__new__(kind, *words)
    error.__dict__.update(fields)
    return error
