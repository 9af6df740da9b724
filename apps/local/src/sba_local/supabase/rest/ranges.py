"""The Range header and Content-Range (PostgREST: references/api/pagination_count)."""

from __future__ import annotations

import re
from typing import Final

from sba_local.supabase.rest.errors import bad_range
from sba_local.supabase.rest.querystring import Scope

_RANGE: Final = re.compile(r"(?:items=)?(\d{1,18})-(\d{1,18})?")


def narrow(scope: Scope, header: str) -> None:
    """Apply a Range header to what the query string asked for; what is no range is ignored.

    Raises:
        RestError: PGRST103, it ends before it starts.
    """
    match = _RANGE.fullmatch(header.strip())
    if match is None:
        return
    first = int(match[1])
    end = None if match[2] is None else int(match[2]) + 1
    if end is not None and end <= first:
        raise bad_range(
            "The lower boundary must be lower than or equal to the upper boundary in the Range header."
        )
    ends = [
        one for one in (end, None if scope.limit is None else scope.offset + scope.limit) if one is not None
    ]
    scope.offset = max(scope.offset, first)
    if ends:
        scope.limit = max(0, min(ends) - scope.offset)


def content_range(offset: int, shown: int, total: int | None) -> str:
    """The Content-Range header."""
    rows = f"{offset}-{offset + shown - 1}" if shown else "*"
    return f"{rows}/{'*' if total is None else total}"


def range_status(offset: int, shown: int, total: int | None) -> int:
    """200 for everything, 206 for a part.

    Raises:
        RestError: PGRST103, it starts beyond the last row.
    """
    if total is None:
        return 200
    if offset > total:
        raise bad_range(f"An offset of {offset} was requested, but there are only {total} rows.", total)
    return 206 if shown < total else 200
