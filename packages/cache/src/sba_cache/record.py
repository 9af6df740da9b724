"""Values to bytes and back; bytes of another schema, stamp or origin are recognised as such."""

from __future__ import annotations

import hashlib
import math
import struct
import zlib
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, Generic, NamedTuple, TypeVar

import msgspec

from sba_cache.adaptive import State
from sba_cache.errors import NotCacheable, NotOfType
from sba_cache.frozen import ATOMS, is_frozen
from sba_cache.policy import Compress
from sba_cache.zstd import compressed, decompressed

T = TypeVar("T")

MAGIC: Final = b"sba3"
SCHEMA_BYTES: Final = 8
VERSION_BYTES: Final = 12
ZSTD: Final = 1
_PREFIX: Final = len(MAGIC) + SCHEMA_BYTES
_CHECK: Final = struct.Struct(">I")
_FACTS: Final = struct.Struct(f">BBdff{State.SIZE}s")
_WHOLE: Final = struct.Struct(_CHECK.format + _FACTS.format.lstrip(">"))
_FACTS_AT: Final = _PREFIX + _CHECK.size
HEAD_BYTES: Final = _FACTS_AT + _FACTS.size
NO_STATE: Final = bytes(State.SIZE)


class Foreign(Exception):
    """Stored bytes that are not a value of this schema."""


class Record(NamedTuple):
    """A stored value with what is known about it.

    Attributes:
        head: The first bytes, which no two loads of a key have in common.
        stamp: The versions it was loaded under, one after the other.
        payload: MessagePack, not compressed.
        stored_at: The server's unix seconds when it was loaded.
        ttl: Seconds for which it is fresh.
        load_seconds: How long the load took.
        state: What is known of how often it changes, packed.
    """

    head: bytes
    stamp: bytes
    payload: bytes | memoryview
    stored_at: float
    ttl: float
    load_seconds: float
    state: bytes


@dataclass(frozen=True, slots=True)
class Sealed:
    """An encoded value before it is known when and under which versions it is stored.

    Attributes:
        payload: MessagePack, not compressed.
        stored: The same as it is stored.
        flags: How it is stored.
    """

    payload: bytes
    stored: bytes
    flags: int


class Codec(Generic[T]):
    """MessagePack of one type, headed by the schema it was written with.

    Args:
        type_: What is encoded; any type msgspec can validate.

    Attributes:
        frozen: Whether its values cannot be changed, so that callers may share one.

    Raises:
        NotCacheable: msgspec cannot.
    """

    __slots__ = ("_decoder", "_encoder", "_name", "_prefix", "frozen")

    def __init__(self, type_: type[T]) -> None:
        self._name = str(type_)
        try:
            self._decoder: msgspec.msgpack.Decoder[T] = msgspec.msgpack.Decoder(type_)
            self._prefix = MAGIC + _schema_id(type_)
            self.frozen = is_frozen(type_)
        except TypeError as error:
            raise NotCacheable(self._name) from error
        self._encoder = msgspec.msgpack.Encoder()

    def seal(self, value: T, compress: Compress | None = None) -> Sealed:
        """Encode a value.

        Raises:
            NotCacheable: The value holds something msgspec cannot encode.
        """
        try:
            payload = self._encoder.encode(value)
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            raise NotCacheable(type(value).__name__) from error
        if compress is None or len(payload) < compress.threshold:
            return Sealed(payload, payload, 0)
        return Sealed(payload, compressed(payload, compress.level), ZSTD)

    def checked(self, sealed: Sealed, value: object) -> T:
        """The value as every later reader will get it.

        Args:
            sealed: The value, encoded.
            value: As it was given.

        Raises:
            NotOfType: It is not of the type.
        """
        try:
            return self.decode(sealed.payload)
        except Foreign as error:
            raise NotOfType(self._name, type(value).__name__) from error

    def head(
        self,
        sealed: Sealed,
        *,
        versions: int,
        stored_at: float,
        ttl: float,
        load_seconds: float = 0.0,
        state: bytes = NO_STATE,
    ) -> bytes:
        """What is stored before the stamp and the payload, with a checksum of itself and the payload.

        The stamp needs none: a damaged one is not that of the present versions.
        """
        facts = _FACTS.pack(sealed.flags, versions, stored_at, ttl, load_seconds, state)
        return self._prefix + _CHECK.pack(zlib.crc32(sealed.stored, zlib.crc32(facts))) + facts

    def open(self, stored: bytes) -> Record:
        """Read a record, under whichever versions it was loaded.

        Raises:
            Foreign: Written with another schema, or damaged.
        """
        if not stored.startswith(self._prefix) or len(stored) < HEAD_BYTES:
            raise Foreign
        check, flags, versions, stored_at, ttl, seconds, state = _WHOLE.unpack_from(stored, _PREFIX)
        head, body = stored[:HEAD_BYTES], HEAD_BYTES + versions * VERSION_BYTES
        kept = memoryview(stored)[body:]
        if zlib.crc32(kept, zlib.crc32(head[_FACTS_AT:])) != check:
            raise Foreign
        if flags > ZSTD or not math.isfinite(stored_at + ttl + seconds):
            raise Foreign
        payload = decompressed(kept) if flags else kept
        if payload is None:
            raise Foreign
        return Record(head, stored[HEAD_BYTES:body], payload, stored_at, ttl, seconds, state)

    def decode(self, payload: bytes | memoryview) -> T:
        """The value, validated.

        Raises:
            Foreign: It is not of the type.
        """
        try:
            return self._decoder.decode(payload)
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            raise Foreign from error

    def may_share(self, value: T) -> bool:
        """Whether callers may get the same object."""
        return self.frozen or type(value) in ATOMS


@lru_cache(maxsize=1024)
def codec_of(type_: Any) -> Codec[Any]:  # noqa: ANN401 - any type has its codec
    """The codec of a type, made once."""
    return Codec(type_)


def _schema_id(type_: Any) -> bytes:  # noqa: ANN401 - any type has a schema
    schema = msgspec.json.encode(msgspec.json.schema(type_), order="sorted")
    return hashlib.blake2b(schema, digest_size=SCHEMA_BYTES).digest()
