"""Objects: how they come, go and are found."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO, Final, Literal, NoReturn

from psycopg.types.json import Jsonb

from sba_local.supabase.storage import errors, names
from sba_local.supabase.storage.bodies import Upload
from sba_local.supabase.storage.buckets import Buckets
from sba_local.supabase.storage.files import Content, Files
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
_ADD_UNLESS: Final = f"{_ADD} on conflict (bucket_id, name) do nothing"
_REPLACE: Final = """
with before as (
    select id, version from storage.objects where bucket_id = %(bucket)s and name = %(name)s for update
)
update storage.objects o set
    metadata = %(metadata)s || jsonb_build_object('lastModified', now()),
    user_metadata = %(user_metadata)s, version = %(version)s,
    owner = %(owner)s::uuid, owner_id = %(owner)s::uuid::text, updated_at = now()
from before where o.id = before.id returning o.id, before.version as replaced
"""
_MOVE: Final = """
update storage.objects set bucket_id = %(to_bucket)s, name = %(to_name)s, updated_at = now()
where bucket_id = %(bucket)s and name = %(name)s
"""
_REMOVE: Final = f"""
delete from storage.objects where bucket_id = %(bucket)s and name = any(%(names)s) returning {_COLUMNS}
"""  # noqa: S608  # columns of our own

Replaces = Literal["never", "maybe", "always"]


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

    async def limit(self, place: Place) -> int:
        """The most bytes an object there may have.

        Raises:
            StorageRefusal: there is no such bucket, or the object's name can be none.
        """
        names.key_of(place.name)
        return min((await self._buckets.find(place.bucket))["file_size_limit"] or names.MOST, names.MOST)

    async def find(self, place: Place, asker: Asker | None) -> Row:
        """An object.

        Raises:
            StorageRefusal: there is none that the asker may see.
        """
        async with self._store.acting(asker) as rows:
            return await _found(rows, place)

    async def open(self, place: Place, asker: Asker | None) -> tuple[Row, BinaryIO]:
        """An object and its content.

        Raises:
            StorageRefusal: there is none that the asker may see.
        """
        row = await self.find(place, asker)
        while (stream := await self._files.open(row["version"])) is None:
            version, row = row["version"], await self.find(place, asker)
            if row["version"] == version:
                raise errors.object_missing()
        return row, stream

    async def may_add(self, place: Place, asker: Asker) -> None:
        """Nothing, where the asker may add an object of that name.

        Raises:
            StorageRefusal: they may not, or there is one.
        """
        names.key_of(place.name)
        nothing = Content(str(uuid.uuid4()), 0, "")
        values = _values(place, Upload(nothing, "text/plain", "0", None), asker.owner)
        try:
            async with self._store.acting(asker) as rows:
                await rows.run(_ADD, values)
                _undo()
        except _OnlyTried:
            return

    async def put(
        self,
        place: Place,
        upload: Upload,
        asker: Asker | None,
        *,
        owner: uuid.UUID | None,
        replaces: Replaces,
    ) -> uuid.UUID:
        """Keep an object, or nothing of it.

        Args:
            place: where.
            upload: what; its content is kept already.
            asker: as whom; None for one that was let in by a signed URL.
            owner: whose it is from now on.
            replaces: `never`, `maybe` or `always` one of that name.

        Returns:
            Its id.

        Raises:
            StorageRefusal: the asker may not, the bucket does not take it, or there is one already, or none.
        """
        try:
            bucket = await self._buckets.find(place.bucket)
            names.check_type(upload.content_type, bucket["allowed_mime_types"])
            values = _values(place, upload, owner)
            async with self._store.acting(asker) as rows:
                made, replaced = await _write(rows, values, replaces)
        except BaseException:
            await self._files.remove(upload.content.version)
            raise
        await self._files.remove(*replaced)
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
        row, stream = await self.open(place, asker)
        with stream:
            version = await self._files.copy(stream)
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


async def _write(
    rows: Rows, values: Mapping[str, Any], replaces: Replaces
) -> tuple[uuid.UUID, Sequence[str]]:
    """The object's id, and the version that it had before, if any."""
    if replaces == "never":
        await rows.run(_ADD, values)
        return values["id"], ()
    if await rows.one(_FIND, values) is None:
        if replaces == "always":
            raise errors.object_missing()
        if await rows.run(_ADD_UNLESS, values):
            return values["id"], ()
    row = await rows.one(_REPLACE, values)
    if row is None:
        raise errors.denied()
    return row["id"], (row["replaced"],)


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


def _values(place: Place, upload: Upload, owner: uuid.UUID | None) -> dict[str, Any]:
    content, seconds = upload.content, upload.cache_control
    metadata = {
        "eTag": f'"{content.digest}"',
        "size": content.size,
        "mimetype": upload.content_type,
        "cacheControl": f"max-age={seconds}" if seconds.isdigit() else seconds,
        "contentLength": content.size,
        "httpStatusCode": 200,
    }
    return {
        **_naming(place, owner, content.version),
        "metadata": Jsonb(metadata),
        "user_metadata": None if upload.metadata is None else Jsonb(upload.metadata),
    }
