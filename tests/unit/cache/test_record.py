"""Bytes of another schema or origin are never taken for a value."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace

import msgspec
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from sba_cache import Compress, NotCacheable
from sba_cache.record import HEAD_BYTES, Codec, Foreign, Sealed, codec_of
from sba_cache.zstd import MOST

STAMP = b"v" * 24


class Hit(msgspec.Struct):
    title: str
    score: float


@dataclass
class Renamed:
    title: str
    rank: float


def stored(codec: Codec[object], sealed: Sealed, *, flags: int | None = None) -> bytes:
    """As it lies in Redis."""
    flagged = sealed if flags is None else replace(sealed, flags=flags)
    head = codec.head(flagged, versions=2, stored_at=1000.5, ttl=30.0, load_seconds=0.25)
    return head + STAMP + sealed.stored


@given(st.text(), st.floats(allow_nan=False))
def test_a_value_comes_back_with_what_is_known_of_it(title: str, score: float) -> None:
    codec = Codec(list[Hit])
    value = [Hit(title, score)]
    record = codec.open(stored(codec, codec.seal(value)))
    assert codec.decode(record.payload) == value
    assert (record.stamp, record.stored_at, record.ttl) == (STAMP, 1000.5, 30.0)
    assert record.load_seconds == 0.25
    assert len(record.head) == HEAD_BYTES


@given(st.text(min_size=200), st.integers(1, 19))
def test_a_compressed_value_comes_back(text: str, level: int) -> None:
    codec = Codec(str)
    sealed = codec.seal(text, Compress(threshold=100, level=level))
    assert sealed.flags == 1
    assert codec.decode(codec.open(stored(codec, sealed)).payload) == text


def test_a_small_value_is_not_compressed() -> None:
    assert Codec(str).seal("small", Compress()).flags == 0


@pytest.mark.parametrize(
    "frame",
    [
        b"no frame",
        b"",
        zstandard.ZstdCompressor(write_content_size=False).compress(b"of unknown size" * 100),
        zstandard.ZstdCompressor().compress(b"\0" * 5000)[:-3],
        zstandard.ZstdCompressor().compress(b"\0" * (MOST + 1)),
    ],
    ids=["no frame", "nothing", "no size", "cut", "bomb"],
)
def test_what_does_not_decompress_within_bounds_is_foreign(frame: bytes) -> None:
    codec = Codec(str)
    with pytest.raises(Foreign):
        codec.open(stored(codec, Sealed(frame, frame, 1)))


def test_nothing_is_a_value_too() -> None:
    codec = codec_of(int | None)
    assert codec.decode(codec.seal(None).payload) is None


def test_a_value_of_another_schema_is_foreign() -> None:
    other = Codec(Hit)
    with pytest.raises(Foreign):
        Codec(Renamed).open(stored(other, other.seal(Hit("a", 1.0))))


def test_a_flag_of_the_future_is_foreign() -> None:
    codec = Codec(int)
    with pytest.raises(Foreign):
        codec.open(stored(codec, codec.seal(1), flags=2))


@pytest.mark.parametrize("ttl", [float("nan"), float("inf")])
def test_times_that_are_none_are_foreign(ttl: float) -> None:
    codec = Codec(int)
    with pytest.raises(Foreign):
        codec.open(codec.head(codec.seal(1), versions=0, stored_at=1.0, ttl=ttl) + b"\x01")


@given(st.binary(max_size=90))
def test_any_other_bytes_are_foreign(junk: bytes) -> None:
    with pytest.raises(Foreign):
        Codec(Hit).open(junk)


@given(st.binary(min_size=1, max_size=20), st.integers(0, 120))
def test_damaged_bytes_are_foreign_or_still_of_the_type(junk: bytes, cut: int) -> None:
    codec = Codec(Hit)
    whole = stored(codec, codec.seal(Hit("title", 1.5)))
    with contextlib.suppress(Foreign):
        assert isinstance(codec.decode(codec.open(whole[:cut] + junk).payload), Hit)


def test_what_has_no_encoding_is_refused() -> None:
    class Opaque:
        pass

    with pytest.raises(NotCacheable, match="Opaque"):
        Codec(Opaque)
    with pytest.raises(NotCacheable, match="list"):
        Codec(list).seal([Opaque()])
    with pytest.raises(NotCacheable, match="int"):
        Codec(int).seal(2**70)


def test_a_value_of_another_type_is_refused() -> None:
    codec = Codec(int)
    with pytest.raises(NotCacheable, match="int"):
        codec.checked(Codec(str).seal("seven"), "seven")
    assert codec.checked(codec.seal(7), 7) == 7


def test_a_codec_is_made_once() -> None:
    assert codec_of(Hit) is codec_of(Hit)


@given(st.integers(0), st.booleans())
def test_no_flipped_bit_outside_the_stamp_goes_unnoticed(bit: int, compress: bool) -> None:  # noqa: FBT001 - drawn
    codec = Codec(Hit)
    whole = bytearray(stored(codec, codec.seal(Hit("title" * 20, 1.5), Compress(0) if compress else None)))
    places = [place for place in range(len(whole)) if not HEAD_BYTES <= place < HEAD_BYTES + len(STAMP)]
    whole[places[bit // 8 % len(places)]] ^= 1 << bit % 8
    with pytest.raises(Foreign):
        codec.open(bytes(whole))


def test_a_flipped_bit_of_the_stamp_makes_it_another_stamp() -> None:
    codec = Codec(int)
    whole = bytearray(stored(codec, codec.seal(1)))
    whole[HEAD_BYTES] ^= 1
    assert codec.open(bytes(whole)).stamp != STAMP
