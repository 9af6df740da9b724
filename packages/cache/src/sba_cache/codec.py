"""Values to bytes and back; bytes of another schema, version or origin are recognised as foreign."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import Any, Final, Generic, TypeVar

import msgspec

from sba_cache.errors import NotCacheable

T = TypeVar("T")

MAGIC: Final = b"sba1"
SCHEMA_BYTES: Final = 8
VERSION_BYTES: Final = 16
_HEADER: Final = len(MAGIC) + SCHEMA_BYTES + VERSION_BYTES


class Foreign(Exception):
    """Stored bytes that are not a value of this schema."""


class Stale(Exception):
    """A value that was loaded before its namespace was invalidated."""


class Codec(Generic[T]):
    """MessagePack of one type, headed by the schema it was written with and the version it belongs to.

    Args:
        type_: What is encoded; any type msgspec can validate.

    Raises:
        NotCacheable: msgspec cannot.
    """

    __slots__ = ("_decoder", "_prefix")

    def __init__(self, type_: type[T]) -> None:
        try:
            self._decoder: msgspec.msgpack.Decoder[T] = msgspec.msgpack.Decoder(type_)
            self._prefix = MAGIC + _schema_id(type_)
        except TypeError as error:
            raise NotCacheable(str(type_)) from error

    def encode(self, version: bytes, value: T) -> bytes:
        """The bytes to store for a value that belongs to a version.

        Raises:
            NotCacheable: The value holds something msgspec cannot encode.
        """
        try:
            return self._prefix + version + msgspec.msgpack.encode(value)
        except TypeError as error:
            raise NotCacheable(type(value).__name__) from error

    def decode(self, version: bytes, stored: bytes) -> T:
        """The value, validated.

        Raises:
            Stale: It belongs to another version.
            Foreign: Written with another schema, or damaged.
        """
        if len(stored) < _HEADER or not stored.startswith(self._prefix):
            raise Foreign
        if stored[_HEADER - VERSION_BYTES : _HEADER] != version:
            raise Stale
        try:
            return self._decoder.decode(memoryview(stored)[_HEADER:])
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            raise Foreign from error


@lru_cache(maxsize=1024)
def codec_of(type_: Any) -> Codec[Any]:  # noqa: ANN401 - any type has its codec
    """The codec of a type, made once."""
    return Codec(type_)


def _schema_id(type_: Any) -> bytes:  # noqa: ANN401 - any type has a schema
    schema = msgspec.json.encode(msgspec.json.schema(type_), order="sorted")
    return hashlib.blake2b(schema, digest_size=SCHEMA_BYTES).digest()
