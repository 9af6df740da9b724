"""An object as an answer."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import format_datetime
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import FileResponse, Response

from sba_local.supabase.storage.files import Files
from sba_local.supabase.storage.rows import Row


def send(request: Request, row: Row, files: Files) -> Response:
    """The content, a part of it, or that it is still what the caller has."""
    metadata = row["metadata"]
    headers = {
        "etag": metadata["eTag"],
        "cache-control": metadata["cacheControl"],
        "last-modified": _http_date(row["updated_at"]),
        "content-security-policy": "sandbox",
        "x-content-type-options": "nosniff",
        **_attachment(request, row["name"]),
    }
    if request.headers.get("if-none-match") == metadata["eTag"]:
        return Response(status_code=304, headers=headers)
    return FileResponse(files.path(row["version"]), headers=headers, media_type=metadata["mimetype"])


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


def _attachment(request: Request, name: str) -> dict[str, str]:
    wish = request.query_params.get("download")
    if wish is None:
        return {}
    filename = quote(wish or name.rpartition("/")[2], safe="")
    return {"content-disposition": f"attachment; filename*=UTF-8''{filename}"}


def _http_date(moment: datetime) -> str:
    return format_datetime(moment.astimezone(UTC), usegmt=True)
