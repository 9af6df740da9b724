"""JSON answers made of plain values in one pass."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic_core import to_json
from starlette.responses import Response

PROBLEM_JSON = "application/problem+json"


class JsonAnswer(Response):
    """An answer whose body is JSON of `value` (dicts, lists, UUIDs, dates, decimals, enums)."""

    media_type = "application/json"

    def __init__(self, value: object, *, status: int = 200, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(to_json(value, inf_nan_mode="null"), status_code=status, headers=headers)


class ProblemAnswer(JsonAnswer):
    """An RFC 9457 problem."""

    media_type = PROBLEM_JSON
