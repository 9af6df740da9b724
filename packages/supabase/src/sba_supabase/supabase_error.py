"""The root of this package's errors; `errors` draws the tree."""

from __future__ import annotations

from typing import ClassVar


class SupabaseError(Exception):
    """The root of this package's errors."""

    code: ClassVar[str] = "supabase_error"
