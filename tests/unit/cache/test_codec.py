"""Bytes of another schema, version or origin are never taken for a value."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sba_cache import NotCacheable
from sba_cache.codec import Codec, Foreign, Stale, codec_of

VERSION = b"v" * 16


class Hit(msgspec.Struct):
    title: str
    score: float


@dataclass
class Renamed:
    title: str
    rank: float


@given(st.text(), st.floats(allow_nan=False))
def test_a_value_comes_back(title: str, score: float) -> None:
    codec = Codec(list[Hit])
    value = [Hit(title, score)]
    assert codec.decode(VERSION, codec.encode(VERSION, value)) == value


def test_nothing_is_a_value_too() -> None:
    codec = codec_of(int | None)
    assert codec.decode(VERSION, codec.encode(VERSION, None)) is None


def test_a_value_of_another_version_is_stale() -> None:
    codec = Codec(int)
    with pytest.raises(Stale):
        codec.decode(b"w" * 16, codec.encode(VERSION, 1))


def test_a_value_of_another_schema_is_foreign() -> None:
    with pytest.raises(Foreign):
        Codec(Renamed).decode(VERSION, Codec(Hit).encode(VERSION, Hit("a", 1.0)))


@given(st.binary(max_size=60))
def test_any_other_bytes_are_foreign(stored: bytes) -> None:
    with pytest.raises(Foreign):
        Codec(Hit).decode(VERSION, stored)


@given(st.binary(min_size=1, max_size=20), st.integers(min_value=0, max_value=30))
def test_damaged_bytes_are_foreign_or_still_of_the_type(junk: bytes, cut: int) -> None:
    codec = Codec(Hit)
    stored = codec.encode(VERSION, Hit("title", 1.5))[: 28 + cut] + junk
    with contextlib.suppress(Foreign):
        assert isinstance(codec.decode(VERSION, stored), Hit)


def test_what_has_no_encoding_is_refused() -> None:
    class Opaque:
        pass

    with pytest.raises(NotCacheable, match="Opaque"):
        Codec(Opaque)
    with pytest.raises(NotCacheable, match="list"):
        Codec(list).encode(VERSION, [Opaque()])


def test_a_codec_is_made_once() -> None:
    assert codec_of(Hit) is codec_of(Hit)
