"""An object as an answer."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import BinaryIO, Final
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from sba_local.supabase.storage.rows import Row

_RANGE: Final = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")
_AT_ONCE: Final = 256 * 1024


def send(request: Request, row: Row, stream: BinaryIO) -> Response:
    """The content, a part of it, or that it is still what the caller has.

    Args:
        request: for its conditions.
        row: the object.
        stream: its content, closed once it was sent.
    """
    metadata = row["metadata"]
    headers = {
        "content-type": metadata["mimetype"],
        "accept-ranges": "bytes",
        "etag": metadata["eTag"],
        "cache-control": metadata["cacheControl"],
        "last-modified": _http_date(row["updated_at"]),
        "content-security-policy": "sandbox",
        "x-content-type-options": "nosniff",
        **_attachment(request, row["name"]),
    }
    if request.headers.get("if-none-match") == metadata["eTag"]:
        stream.close()
        return Response(status_code=304, headers=headers)
    return _part(request, stream, metadata["size"], headers)


def described(row: Row) -> dict[str, object]:
    """What is known of an object."""
    metadata = row["metadata"]
    return {
        "id": str(row["id"]),
        "name": row["name"],
        "version": row["version"],
        "bucket_id": row["bucket_id"],
        "size": metadata["size"],
        "content_type": metadata["mimetype"],
        "cache_control": metadata["cacheControl"],
        "etag": metadata["eTag"],
        "metadata": row["user_metadata"] or {},
        "last_modified": row["updated_at"].astimezone(UTC).isoformat(),
        "created_at": row["created_at"].astimezone(UTC).isoformat(),
    }


def _part(request: Request, stream: BinaryIO, size: int, headers: dict[str, str]) -> Response:
    wanted = _wanted(request.headers.get("range", ""), size)
    if wanted is None:
        return StreamingResponse(_pieces(stream, 0, size), headers={**headers, "content-length": str(size)})
    start, end = wanted
    if start >= end:
        stream.close()
        return Response(status_code=416, headers={**headers, "content-range": f"bytes */{size}"})
    shown = {"content-range": f"bytes {start}-{end - 1}/{size}", "content-length": str(end - start)}
    return StreamingResponse(_pieces(stream, start, end), 206, {**headers, **shown})


def _wanted(header: str, size: int) -> tuple[int, int] | None:
    """Start and end of the one part asked for; None for all of it, as for ranges that are none."""
    match = _RANGE.fullmatch(header.strip())
    if match is None or match[1] == match[2] == "":
        return None
    if not match[1]:
        return (max(0, size - int(match[2])), size) if int(match[2]) else (size, size)
    start, end = int(match[1]), int(match[2] or size) + 1
    return None if end <= start else (start, min(end, size))


async def _pieces(stream: BinaryIO, start: int, end: int) -> AsyncIterator[bytes]:
    with stream:
        await asyncio.to_thread(stream.seek, start)
        while start < end:
            piece = await asyncio.to_thread(stream.read, min(_AT_ONCE, end - start))
            start += len(piece)
            yield piece


def _attachment(request: Request, name: str) -> dict[str, str]:
    wish = request.query_params.get("download")
    if wish is None:
        return {}
    filename = quote(wish or name.rpartition("/")[2], safe="", errors="replace")
    return {"content-disposition": f"attachment; filename*=UTF-8''{filename}"}


def _http_date(moment: datetime) -> str:
    return format_datetime(moment.astimezone(UTC), usegmt=True)
