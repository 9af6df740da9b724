"""A tenant's files: every object below the tenant's id, in the bucket whose policies hold it there."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar
from uuid import UUID

import httpx
from storage3._async.file_api import AsyncBucketActionsMixin
from storage3.exceptions import StorageApiError
from storage3.types import FileOptions

from sba_supabase.calls import Guards, guarded, patience_of, refusal
from sba_supabase.clients.client import Client
from sba_supabase.clients.tenancy import TenantClient
from sba_supabase.errors import PathRefused, TenantUnset

T = TypeVar("T")

BUCKET: Final = "tenant-files"
LONGEST_URL: Final = 24 * 3600.0
_PATH: Final = re.compile(r"[A-Za-z0-9_!\-.*'() &$@=;:+,/]{1,900}")
_TYPE: Final = re.compile(r"[\w!#$&^.+-]+/[\w!#$&^.+-]+( ?; ?[\w-]+=[\w.+-]+)*", re.ASCII)


class TenantFiles:
    """The files of a client's tenant.

    Paths are relative to the tenant; nobody can name another tenant's. The database's policies decide once
    more, so a membership that was revoked ends with the next call; a signed URL lives until it ends.

    Args:
        client: of `set_tenant_context`.
        guards: the process's.
        bucket: private, with policies such as those of `tenant-files`.

    Raises:
        TenantUnset: the client has no tenant.

    Example:
        >>> files = TenantFiles(mine, guards=guards)
        >>> await files.upload("reports/march.pdf", content, content_type="application/pdf")
        >>> url = await files.signed_url("reports/march.pdf", seconds=300)
    """

    def __init__(self, client: TenantClient, *, guards: Guards, bucket: str = BUCKET) -> None:
        self._client: Client = client
        self._tenant = _tenant_of(client)
        self._guards = guards
        self._bucket = bucket

    def path(self, path: str) -> str:
        """The object's whole name.

        Raises:
            PathRefused: it could be none, or could leave the tenant's folder.
        """
        parts = path.split("/")
        if not _PATH.fullmatch(path) or any(part in ("", ".", "..") for part in parts):
            raise PathRefused
        return f"{self._tenant}/{path}"

    async def upload(
        self,
        path: str,
        content: bytes,
        *,
        content_type: str,
        replace: bool = False,
        cache_seconds: int = 3600,
    ) -> None:
        """Keep a file.

        Args:
            path: relative to the tenant.
            content: all of it.
            content_type: such as `application/pdf`.
            replace: the one of that name, if there is one; then the call may be repeated.
            cache_seconds: how long a browser may keep it.

        Raises:
            ValueError: `content_type` is none.
            PathRefused: `path` can be none.
            RemoteConflict: there is one already.
            RemoteRefused: the user may not write there.
            RemoteInvalid: it is too large, or of a type that the bucket does not take.
            RemoteError: anything else the project answered, or that it did not.
            ResilienceError: the guard did not let it through, or time ran out.
        """
        name = self.path(path)
        if not _TYPE.fullmatch(content_type):
            raise ValueError("a content type is such as application/pdf or text/plain; charset=utf-8")
        options: FileOptions = {
            "content-type": content_type,
            "cache-control": str(cache_seconds),
            "upsert": "true" if replace else "false",
        }
        await self._call("upload", lambda: self._files().upload(name, content, options), idempotent=replace)

    async def download(self, path: str) -> bytes:
        """A file.

        Raises:
            PathRefused: `path` can be none.
            RemoteMissing: there is none that the user may see.
            RemoteError: anything else the project answered, or that it did not.
            ResilienceError: the guard did not let it through, or time ran out.
        """
        name = self.path(path)
        return await self._call("download", lambda: self._files().download(name), idempotent=True)

    async def signed_url(self, path: str, *, seconds: int) -> str:
        """An address at which anybody may download the file for a while.

        Args:
            path: relative to the tenant.
            seconds: for how long, up to a day.

        Raises:
            ValueError: `seconds` is not between 1 and a day's.
            PathRefused: `path` can be none.
            RemoteMissing: there is none that the user may see.
            RemoteError: anything else the project answered, or that it did not.
            ResilienceError: the guard did not let it through, or time ran out.
        """
        if not 1 <= seconds <= LONGEST_URL:
            raise ValueError("a signed URL is good for a second to a day")
        name = self.path(path)
        signed = await self._call(
            "sign", lambda: self._files().create_signed_url(name, seconds), idempotent=True
        )
        return str(signed["signedUrl"])

    async def remove(self, path: str) -> bool:
        """Delete a file; False when there is none that the user may delete.

        Raises:
            PathRefused: `path` can be none.
            RemoteError: what the project answered, or that it did not.
            ResilienceError: the guard did not let it through, or time ran out.
        """
        name = self.path(path)
        return bool(await self._call("remove", lambda: self._files().remove([name]), idempotent=True))

    def _files(self) -> AsyncBucketActionsMixin:
        if self._client.tenant_id != self._tenant:
            raise TenantUnset
        return self._client.storage.from_(self._bucket)

    async def _call(self, operation: str, ask: Callable[[], Awaitable[T]], *, idempotent: bool) -> T:
        async def attempt() -> T:
            try:
                return await ask()
            except StorageApiError as error:
                refused = refusal(_status(error), error.code, error.message, asked=patience_of(error))
            raise refused

        return await guarded(self._guards.of(f"storage.{operation}"), attempt, idempotent=idempotent)


def _tenant_of(client: Client) -> UUID:
    tenant = client.tenant_id
    if tenant is None:
        raise TenantUnset
    return tenant


def _status(error: StorageApiError) -> int:
    """What the answer's body says, which is more exact than the answer's own status."""
    cause = error.__cause__
    own = cause.response.status_code if isinstance(cause, httpx.HTTPStatusError) else 500
    text = str(error.status)
    return int(text) if text.isdigit() and own < 500 else own  # noqa: PLR2004  # a server's fault stays one
