"""Buckets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sba_local.supabase.storage import errors, names
from sba_local.supabase.storage.bodies import object_of
from sba_local.supabase.storage.files import Files
from sba_local.supabase.storage.rows import Asker, Row, Store, document

_COLUMNS: Final = """
id, name, coalesce(owner::text, '') as owner, public, file_size_limit, allowed_mime_types, created_at,
updated_at, 'STANDARD' as type
"""
_LIST: Final = f"select {_COLUMNS} from storage.buckets order by name"  # noqa: S608  # columns of our own
_FIND: Final = f"select {_COLUMNS} from storage.buckets where id = %(id)s"  # noqa: S608  # columns of our own
_ADD: Final = """
insert into storage.buckets (id, name, owner, owner_id, public, file_size_limit, allowed_mime_types)
values (%(id)s, %(name)s, %(owner)s::uuid, %(owner)s::uuid::text, %(public)s, %(size)s, %(types)s)
"""
_CHANGE: Final = """
update storage.buckets set
    public = coalesce(%(public)s, public),
    file_size_limit = case when %(has_size)s then %(size)s else file_size_limit end,
    allowed_mime_types = case when %(has_types)s then %(types)s else allowed_mime_types end,
    updated_at = now()
where id = %(id)s
"""
_HOLDS: Final = "select exists (select from storage.objects where bucket_id = %(id)s) as full"
_REMOVE: Final = "delete from storage.buckets where id = %(id)s"
_EMPTY: Final = "delete from storage.objects where bucket_id = %(id)s returning version"


class Buckets:
    """`/bucket`.

    Args:
        store: the rows.
        files: the contents.
    """

    def __init__(self, store: Store, files: Files) -> None:
        self._store = store
        self._files = files

    def routes(self, path: str) -> Sequence[Route]:
        """Where it is served."""
        one = f"{path}/{{bucket}}"
        return [
            Route(path, self._list, methods=["GET"]),
            Route(path, self._create, methods=["POST"]),
            Route(one, self._show, methods=["GET"]),
            Route(one, self._change, methods=["PUT"]),
            Route(one, self._remove, methods=["DELETE"]),
            Route(f"{one}/empty", self._empty, methods=["POST"]),
        ]

    async def find(self, bucket: str, asker: Asker | None = None) -> Row:
        """A bucket.

        Raises:
            StorageRefusal: there is none that the asker may see.
        """
        async with self._store.acting(asker) as rows:
            row = await rows.one(_FIND, {"id": bucket})
        if row is None:
            raise errors.bucket_missing()
        return row

    async def _list(self, request: Request) -> Response:
        async with self._store.acting(Asker.of(request)) as rows:
            return JSONResponse([document(row) for row in await rows.all(_LIST, {})])

    async def _show(self, request: Request) -> Response:
        return JSONResponse(document(await self.find(request.path_params["bucket"], Asker.of(request))))

    async def _create(self, request: Request) -> Response:
        asker, body = Asker.of(request), await object_of(request)
        name = names.bucket_of(body.get("name"))
        bucket = names.bucket_of(body.get("id") or name)
        values = {"id": bucket, "name": name, "owner": asker.owner, **_settings(body)}
        async with self._store.acting(asker) as rows:
            await rows.run(_ADD, {**values, "public": bool(values["public"])})
        return JSONResponse({"name": bucket})

    async def _change(self, request: Request) -> Response:
        body = await object_of(request)
        values = {
            "id": request.path_params["bucket"],
            "has_size": "file_size_limit" in body,
            "has_types": "allowed_mime_types" in body,
            **_settings(body),
        }
        async with self._store.acting(Asker.of(request)) as rows:
            if not await rows.run(_CHANGE, values):
                raise errors.bucket_missing()
        return JSONResponse({"message": "Successfully updated"})

    async def _remove(self, request: Request) -> Response:
        bucket = request.path_params["bucket"]
        await self.find(bucket, Asker.of(request))
        async with self._store.acting(None) as rows:
            row = await rows.one(_HOLDS, {"id": bucket})
        if row is not None and row["full"]:
            raise errors.not_empty()
        async with self._store.acting(Asker.of(request)) as rows:
            if not await rows.run(_REMOVE, {"id": bucket}):
                raise errors.bucket_missing()
        return JSONResponse({"message": "Successfully deleted"})

    async def _empty(self, request: Request) -> Response:
        bucket = request.path_params["bucket"]
        await self.find(bucket, Asker.of(request))
        async with self._store.acting(Asker.of(request)) as rows:
            gone = await rows.all(_EMPTY, {"id": bucket})
        await self._files.remove(*(row["version"] for row in gone))
        return JSONResponse({"message": "Successfully emptied"})


def _settings(body: Mapping[str, Any]) -> dict[str, Any]:
    public = body.get("public")
    if public is not None and not isinstance(public, bool):
        raise errors.invalid("body/public must be boolean")
    return {
        "public": public,
        "size": names.size_of(body.get("file_size_limit")),
        "types": names.types_of(body.get("allowed_mime_types")),
    }
