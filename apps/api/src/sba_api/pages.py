"""Cursor pages: the query parameters and the answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, TypeVar

from fastapi import Query

from sba_db.models import Page

T = TypeVar("T")

PageSize = Annotated[int, Query(ge=1, le=100)]
Cursor = Annotated[str | None, Query(min_length=1, max_length=500)]


def page_document(page: Page[T], document: Callable[[T], dict[str, Any]]) -> dict[str, Any]:
    """`{"items": [...], "next_cursor": ...}`."""
    return {"items": [document(item) for item in page.items], "next_cursor": page.next_cursor}
