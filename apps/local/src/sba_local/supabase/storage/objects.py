"""Objects: how they come, go and are found."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NoReturn

from psycopg.types.json import Jsonb

from sba_local.supabase.storage import errors, names
from sba_local.supabase.storage.bodies import Upload
from sba_local.supabase.storage.buckets import Buckets
from sba_local.supabase.storage.files import Files
from sba_local.supabase.storage.rows import Asker, Row, Rows, Store

_COLUMNS: Final = """
id, bucket_id, name, coalesce(owner::text, '') as owner, owner_id, version, metadata, user_metadata,
created_at, updated_at, last_accessed_at
"""
_FIND: Final = f"select {_COLUMNS} from storage.objects where bucket_id = %(bucket)s and name = %(name)s"  # noqa: S608  # columns of our own
_BELOW: Final = f"""
select {_COLUMNS} from storage.objects
where bucket_id = %(bucket)s and starts_with(name, %(prefix)s) order by name
"""  # noqa: S608  # columns of our own
_ADD: Final = """
insert into storage.objects (id, bucket_id, name, owner, owner_id, metadata, user_metadata, version)
values (
    %(id)s, %(bucket)s, %(name)s, %(owner)s::uuid, %(owner)s::uuid::text,
    %(metadata)s || jsonb_build_object('lastModified', now()), %(user_metadata)s, %(version)s
)
"""
_REPLACE: Final = """
update storage.objects set
    metadata = %(metadata)s || jsonb_build_object('lastModified', now()),
    user_metadata = %(user_metadata)s, version = %(version)s,
    owner = %(owner)s::uuid, owner_id = %(owner)s::uuid::text, updated_at = now()
where bucket_id = %(bucket)s and name = %(name)s returning id
"""
_MOVE: Final = """
update storage.objects set bucket_id = %(to_bucket)s, name = %(to_name)s, updated_at = now()
where bucket_id = %(bucket)s and name = %(name)s
"""
_REMOVE: Final = f"""
delete from storage.objects where bucket_id = %(bucket)s and name = any(%(names)s) returning {_COLUMNS}
"""  # noqa: S608  # columns of our own


@dataclass(frozen=True, slots=True)
class Place:
    """Where an object is."""

    bucket: str
    name: str

    @property
    def url(self) -> str:
        """As signed URLs name it."""
        return f"{self.bucket}/{self.name}"


class Objects:
    """What is done with objects, each time as whoever asks.

    Args:
        store: the rows.
        files: the contents.
        buckets: theirs.
    """

    def __init__(self, store: Store, files: Files, buckets: Buckets) -> None:
        self._store = store
        self._files = files
        self._buckets = buckets

    async def limit(self, bucket: str) -> int:
        """The most bytes an object of a bucket may have.

        Raises:
            StorageRefusal: there is no such bucket.
        """
        return min((await self._buckets.find(bucket))["file_size_limit"] or names.MOST, names.MOST)

    async def find(self, place: Place, asker: Asker | None) -> Row:
        """An object.

        Raises:
            StorageRefusal: there is none that the asker may see.
        """
        async with self._store.acting(asker) as rows:
            return await _found(rows, place)

    async def may_add(self, place: Place, asker: Asker) -> None:
        """Nothing, where the asker may add an object of that name.

        Raises:
            StorageRefusal: they may not, or there is one.
        """
        names.key_of(place.name)
        values = _values(place, Upload(b"", "text/plain", "0", None), asker.owner, str(uuid.uuid4()))
        try:
            async with self._store.acting(asker) as rows:
                await rows.run(_ADD, values)
                _undo()
        except _OnlyTried:
            return

    async def put(
        self, place: Place, upload: Upload, asker: Asker | None, *, owner: uuid.UUID | None, replaces: str
    ) -> uuid.UUID:
        """Keep an object.

        Args:
            place: where.
            upload: what.
            asker: as whom; None for one that was let in by a signed URL.
            owner: whose it is from now on.
            replaces: `never`, `maybe` or `always` one of that name.

        Returns:
            Its id.

        Raises:
            StorageRefusal: the asker may not, the bucket does not take it, or there is one already, or none.
        """
        names.key_of(place.name)
        bucket = await self._buckets.find(place.bucket)
        names.check_type(upload.content_type, bucket["allowed_mime_types"])
        version = await self._files.write(upload.content)
        values = _values(place, upload, owner, version)
        try:
            async with self._store.acting(asker) as rows:
                before = await rows.one(_FIND, values) if replaces != "never" else None
                made = await _write(rows, values, before, replaces)
        except BaseException:
            await self._files.remove(version)
            raise
        if before is not None:
            await self._files.remove(before["version"])
        return made

    async def move(self, place: Place, target: Place, asker: Asker) -> None:
        """Give an object another name.

        Raises:
            StorageRefusal: there is none, there is one already, or the asker may not.
        """
        values = {"bucket": place.bucket, "name": place.name}
        target_values = {"to_bucket": target.bucket, "to_name": names.key_of(target.name)}
        async with self._store.acting(asker) as rows:
            await _found(rows, place)
            if not await rows.run(_MOVE, {**values, **target_values}):
                raise errors.denied()

    async def copy(self, place: Place, target: Place, asker: Asker) -> uuid.UUID:
        """Keep an object a second time and return the id of the copy.

        Raises:
            StorageRefusal: there is none, there is one already, or the asker may not.
        """
        names.key_of(target.name)
        row = await self.find(place, asker)
        version = await self._files.copy(row["version"])
        values = {
            **_naming(target, asker.owner, version),
            "metadata": Jsonb(row["metadata"]),
            "user_metadata": Jsonb(row["user_metadata"]),
        }
        try:
            async with self._store.acting(asker) as rows:
                await rows.run(_ADD, values)
        except BaseException:
            await self._files.remove(version)
            raise
        copied: uuid.UUID = values["id"]
        return copied

    async def remove(self, bucket: str, names_: Sequence[str], asker: Asker) -> Sequence[Row]:
        """Delete the objects of these names that the asker may delete, and return them."""
        async with self._store.acting(asker) as rows:
            gone = await rows.all(_REMOVE, {"bucket": bucket, "names": list(names_)})
        await self._files.remove(*(row["version"] for row in gone))
        return gone

    async def below(self, bucket: str, prefix: str, asker: Asker) -> Sequence[Row]:
        """The objects whose names begin like that and that the asker may see."""
        async with self._store.acting(asker) as rows:
            return await rows.all(_BELOW, {"bucket": bucket, "prefix": prefix})


class _OnlyTried(Exception):
    """It would have worked; undo it."""


def _undo() -> NoReturn:
    raise _OnlyTried


async def _write(rows: Rows, values: Mapping[str, Any], before: Row | None, replaces: str) -> uuid.UUID:
    if before is None and replaces == "always":
        raise errors.object_missing()
    if before is None:
        await rows.run(_ADD, values)
        return uuid.UUID(str(values["id"]))
    row = await rows.one(_REPLACE, values)
    if row is None:
        raise errors.denied()
    return uuid.UUID(str(row["id"]))


async def _found(rows: Rows, place: Place) -> Row:
    row = await rows.one(_FIND, {"bucket": place.bucket, "name": place.name})
    if row is None:
        raise errors.object_missing()
    return row


def _naming(place: Place, owner: uuid.UUID | None, version: str) -> dict[str, Any]:
    return {
        "id": uuid.uuid4(),
        "bucket": place.bucket,
        "name": place.name,
        "owner": owner,
        "version": version,
    }


def _values(place: Place, upload: Upload, owner: uuid.UUID | None, version: str) -> dict[str, Any]:
    digest = hashlib.md5(upload.content, usedforsecurity=False).hexdigest()
    seconds = upload.cache_control
    metadata = {
        "eTag": f'"{digest}"',
        "size": len(upload.content),
        "mimetype": upload.content_type,
        "cacheControl": f"max-age={seconds}" if seconds.isdigit() else seconds,
        "contentLength": len(upload.content),
        "httpStatusCode": 200,
    }
    return {
        **_naming(place, owner, version),
        "metadata": Jsonb(metadata),
        "user_metadata": None if upload.metadata is None else Jsonb(upload.metadata),
    }
