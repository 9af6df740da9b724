"""The ASGI application of `/storage/v1`."""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Self
from urllib.parse import quote

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from sba_local.directory import private_text
from sba_local.supabase.connections import Connections
from sba_local.supabase.errors import DatabaseUnavailable
from sba_local.supabase.storage import errors, names
from sba_local.supabase.storage.bodies import object_of, upload_of
from sba_local.supabase.storage.buckets import Buckets
from sba_local.supabase.storage.errors import StorageRefusal
from sba_local.supabase.storage.files import Files
from sba_local.supabase.storage.listing import listed, prefix_of
from sba_local.supabase.storage.objects import Objects, Place, Replaces
from sba_local.supabase.storage.rows import Asker, Store, document
from sba_local.supabase.storage.sending import described, send
from sba_local.supabase.storage.signing import Signer

PREFIX: Final = "/storage/v1"
_DOWNLOAD: Final = "download"
_UPLOAD: Final = "upload"
_UPLOAD_SECONDS: Final = 2 * 3600
_MOST_AT_ONCE: Final = 1000


class StorageApp:
    """A stand-in for Supabase Storage: buckets and objects. For development only.

    Whoever mounts it has verified the caller and says who it is in `scope["state"]`.

    Args:
        database_url: with a login that owns schema `storage` and may become any request role.
        place: the directory for contents, made when it is missing.
        clock: seconds since the epoch, by which signed URLs end.
    """

    def __init__(self, database_url: str, place: Path, *, clock: Callable[[], float]) -> None:
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._store = Store(Connections(database_url, most=10, timeout=10.0))
        self._files = Files(place / "contents")
        self._buckets = Buckets(self._store, self._files)
        self._objects = Objects(self._store, self._files, self._buckets)
        self._signer = Signer(private_text(place / "signing-key", lambda: secrets.token_urlsafe(48)), clock)
        self._app = Starlette(
            routes=[*self._buckets.routes(f"{PREFIX}/bucket"), *self._routes(f"{PREFIX}/object")],
            exception_handlers={
                StorageRefusal: _refuse,
                DatabaseUnavailable: _no_database,
                404: _missing,
                405: _missing,
            },
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the database connections."""
        await self._store.aclose()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        await self._app(scope, receive, send)

    def _routes(self, path: str) -> Sequence[Route]:
        one = "{bucket}/{name:path}"
        return [
            Route(f"{path}/move", self._move, methods=["POST"]),
            Route(f"{path}/copy", self._copy, methods=["POST"]),
            Route(f"{path}/list/{{bucket}}", self._list, methods=["POST"]),
            Route(f"{path}/public/{one}", self._download_public, methods=["GET"]),
            Route(f"{path}/info/public/{one}", self._info_public, methods=["GET"]),
            Route(f"{path}/info/authenticated/{one}", self._info, methods=["GET"]),
            Route(f"{path}/info/{one}", self._info, methods=["GET"]),
            Route(f"{path}/authenticated/{one}", self._download, methods=["GET"]),
            Route(f"{path}/upload/sign/{one}", self._sign_upload, methods=["POST"]),
            Route(f"{path}/upload/sign/{one}", self._upload_signed, methods=["PUT"]),
            Route(f"{path}/sign/{one}", self._sign, methods=["POST"]),
            Route(f"{path}/sign/{one}", self._download_signed, methods=["GET"]),
            Route(f"{path}/sign/{{bucket}}", self._sign_many, methods=["POST"]),
            Route(f"{path}/{one}", self._download, methods=["GET"]),
            Route(f"{path}/{one}", self._upload, methods=["POST", "PUT"]),
            Route(f"{path}/{one}", self._remove, methods=["DELETE"]),
            Route(f"{path}/{{bucket}}", self._remove_many, methods=["DELETE"]),
        ]

    async def _download(self, request: Request) -> Response:
        return send(request, *await self._objects.open(_place(request), Asker.of(request)))

    async def _download_public(self, request: Request) -> Response:
        return send(request, *await self._objects.open(await self._public(request), None))

    async def _download_signed(self, request: Request) -> Response:
        place = _place(request)
        self._signer.read(_DOWNLOAD, request.query_params.get("token", ""), place.url)
        return send(request, *await self._objects.open(place, None))

    async def _info(self, request: Request) -> Response:
        return JSONResponse(described(await self._objects.find(_place(request), Asker.of(request))))

    async def _info_public(self, request: Request) -> Response:
        return JSONResponse(described(await self._objects.find(await self._public(request), None)))

    async def _public(self, request: Request) -> Place:
        place = _place(request)
        if not (await self._buckets.find(place.bucket))["public"]:
            raise errors.bucket_missing()
        return place

    async def _upload(self, request: Request) -> Response:
        place, asker = _place(request), Asker.of(request)
        upload = await upload_of(request, self._files, most=await self._objects.limit(place))
        upserts = request.headers.get("x-upsert", "").lower() == "true"
        replaces: Replaces = "always" if request.method == "PUT" else "maybe" if upserts else "never"
        made = await self._objects.put(place, upload, asker, owner=asker.owner, replaces=replaces)
        return JSONResponse({"Id": str(made), "Key": place.url})

    async def _sign_upload(self, request: Request) -> Response:
        place, asker = _place(request), Asker.of(request)
        upserts = request.headers.get("x-upsert", "").lower() == "true"
        if not upserts:
            await self._objects.may_add(place, asker)
        owner = None if asker.owner is None else str(asker.owner)
        acting = {"owner": owner, "upsert": upserts}
        token = self._signer.sign(_UPLOAD, place.url, _UPLOAD_SECONDS, **acting)
        return JSONResponse({"url": f"/object/upload/sign/{quote(place.url)}?token={token}", "token": token})

    async def _upload_signed(self, request: Request) -> Response:
        place = _place(request)
        allowed = self._signer.read(_UPLOAD, request.query_params.get("token", ""), place.url)
        upload = await upload_of(request, self._files, most=await self._objects.limit(place))
        owner = uuid.UUID(allowed["owner"]) if allowed["owner"] else None
        replaces: Replaces = "maybe" if allowed["upsert"] else "never"
        await self._objects.put(place, upload, None, owner=owner, replaces=replaces)
        return JSONResponse({"Key": place.url})

    async def _sign(self, request: Request) -> Response:
        place, body = _place(request), await object_of(request)
        await self._objects.find(place, Asker.of(request))
        return JSONResponse({"signedURL": self._signed(place, body)})

    async def _sign_many(self, request: Request) -> Response:
        body, asker = await object_of(request), Asker.of(request)
        paths = _texts(body, "paths")
        return JSONResponse(
            [
                await self._signed_or_not(Place(request.path_params["bucket"], path), body, asker)
                for path in paths
            ]
        )

    async def _signed_or_not(
        self, place: Place, body: Mapping[str, Any], asker: Asker
    ) -> dict[str, str | None]:
        try:
            await self._objects.find(place, asker)
        except StorageRefusal:
            missing = "Either the object does not exist or you do not have access to it"
            return {"error": missing, "path": place.name, "signedURL": None}
        return {"error": None, "path": place.name, "signedURL": self._signed(place, body)}

    def _signed(self, place: Place, body: Mapping[str, Any]) -> str:
        seconds = str(body.get("expiresIn"))
        if not seconds.isascii() or not seconds.isdigit():
            raise errors.invalid("body/expiresIn must be integer")
        token = self._signer.sign(_DOWNLOAD, place.url, int(seconds[:12]))
        return f"/object/sign/{quote(place.url)}?token={token}"

    async def _list(self, request: Request) -> Response:
        body, asker, bucket = await object_of(request), Asker.of(request), request.path_params["bucket"]
        prefix = prefix_of(body)
        return JSONResponse(listed(await self._objects.below(bucket, prefix, asker), prefix, body))

    async def _move(self, request: Request) -> Response:
        body = await object_of(request)
        await self._objects.move(*_both(body), Asker.of(request))
        return JSONResponse({"message": "Successfully moved"})

    async def _copy(self, request: Request) -> Response:
        place, target = _both(await object_of(request))
        made = await self._objects.copy(place, target, Asker.of(request))
        return JSONResponse({"Id": str(made), "Key": target.url})

    async def _remove(self, request: Request) -> Response:
        place = _place(request)
        if not await self._objects.remove(place.bucket, [place.name], Asker.of(request)):
            raise errors.object_missing()
        return JSONResponse({"message": "Successfully deleted"})

    async def _remove_many(self, request: Request) -> Response:
        wanted = _texts(await object_of(request), "prefixes")
        gone = await self._objects.remove(request.path_params["bucket"], wanted, Asker.of(request))
        return JSONResponse([document(row) for row in gone])


def _place(request: Request) -> Place:
    return Place(request.path_params["bucket"], request.path_params["name"])


def _both(body: Mapping[str, Any]) -> tuple[Place, Place]:
    bucket = names.member(body, "bucketId")
    target = body.get("destinationBucket") or bucket
    return Place(bucket, names.member(body, "sourceKey")), Place(
        str(target), names.member(body, "destinationKey")
    )


def _texts(body: Mapping[str, Any], name: str) -> list[str]:
    texts = body.get(name)
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise errors.invalid(f"body/{name} must be array")
    if not 0 < len(texts) <= _MOST_AT_ONCE:
        raise errors.invalid(f"body/{name} must NOT have fewer than 1 or more than {_MOST_AT_ONCE} items")
    return texts


async def _refuse(_request: Request, error: Exception) -> Response:
    refusal = error if isinstance(error, StorageRefusal) else errors.invalid("")
    return JSONResponse(refusal.document(), status_code=400)


async def _no_database(_request: Request, _error: Exception) -> Response:
    refusal = StorageRefusal(503, "DatabaseError", "The database does not answer")
    return JSONResponse(refusal.document(), status_code=503)


async def _missing(request: Request, error: Exception) -> Response:
    status = getattr(error, "status_code", 404)
    document_ = {"message": f"Route {request.method}:{request.scope['path']} not found", "error": "Not Found"}
    return JSONResponse({**document_, "statusCode": str(status)}, status_code=status)
