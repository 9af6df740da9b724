"""What is kept in the process: bounded by bytes and by entries, and believed only while a mark holds."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final, NamedTuple

import cachebox

from sba_cache import metrics
from sba_cache.coherence import Mark
from sba_cache.footprint import footprint
from sba_cache.key import CacheKey, check_tags
from sba_cache.record import Codec, Record, codec_of
from sba_telemetry.metrics import Cell

OVERHEAD: Final = 1024
"""Bytes an entry takes besides its key and value, roughly."""
REPORT_EVERY: Final = 64
_LARGEST: Final = 4
"""A value may take at most this part of the room."""


class Kind(NamedTuple):
    """What a value is read as: its type, and the tags it depends on."""

    type: Any
    tags: tuple[str, ...]
    codec: Codec[Any]

    def fits(self, entry: Entry) -> bool:
        """Whether an entry was read as this."""
        return entry.tags == self.tags and (entry.type is self.type or bool(entry.type == self.type))


@lru_cache(maxsize=4096)
def kind_of(type_: Any, tags: tuple[str, ...]) -> Kind:  # noqa: ANN401 - any type has its codec
    """How values of a type and with these tags are read, made once.

    Raises:
        NotCacheable: msgspec cannot encode the type.
        TypeError: The tags are no tuple of texts, or the type cannot be told from others.
    """
    check_tags(tags)
    return Kind(type_, tags, codec_of(type_))


class Entry:
    """A value in the process, with the mark under which it was read and the times that matter.

    Attributes:
        type: What it was read as.
        tags: What it was read with.
        until: Our clock up to which it is served without another thought: fresh, and not to be refreshed.
        fresh_until: Our clock up to which it is fresh.
        held_until: Our clock up to which it stands in for a load that failed.
        retry_at: Our clock from which on it may be refreshed.
        hits: Reads since it was loaded, on this node.
        size: Bytes it counts for, once it is kept.
        counted: Where a read that it answers is counted.
    """

    __slots__ = (
        "_value", "codec", "counted", "epoch", "fresh_until", "generation", "held_until", "hits", "record",
        "retry_at", "scope", "shared", "size", "spare", "tags", "trusted_until", "type", "until",
    )  # fmt: skip

    def __init__(self, kind: Kind, record: Record, value: Any, mark: Mark) -> None:  # noqa: ANN401 - of the kind
        self.type, self.tags, self.codec = kind
        self.record = record
        self._value = value
        self.shared = self.codec.may_share(value)
        self.spare = not self.shared
        self.scope, self.generation, self.epoch, self.trusted_until = mark
        self.until = self.fresh_until = self.held_until = self.retry_at = -math.inf
        self.hits = self.size = 0
        self.counted: Cell = mark.scope.meter.hit_l1

    @property
    def mark(self) -> Mark:
        """Under which it was read."""
        return Mark(self.scope, self.generation, self.epoch, self.trusted_until)

    def weigh(self, key: CacheKey) -> int | None:
        """Find out its size; None when its key is too large to be worth a place.

        A value of too many parts to look at is not shared: each caller has it decoded.
        """
        named = footprint(key)
        if named is None:
            return None
        shared = footprint(self._value) if self.shared else 0
        if shared is None:
            self.shared, self.spare, shared = False, True, 0
        self.size = OVERHEAD + named + len(self.record.payload) + shared
        return self.size

    def answer(self) -> Any:  # noqa: ANN401 - whatever was stored
        """The value: the same object when nobody can change it, otherwise one for each caller."""
        if self.shared:
            return self._value
        if self.spare:
            value, self._value, self.spare = self._value, None, False
            return value
        return self.codec.decode(self.record.payload)

    def settle(self) -> None:
        """Let go of the decoded value unless it is shared."""
        if self.spare:
            self._value, self.spare = None, False

    def age_to(self, fresh_until: float, early: float) -> None:
        """Say until when it is fresh, drawing the moment at which to refresh it before that."""
        self.fresh_until = fresh_until
        ahead = -self.record.load_seconds * early * math.log(1.0 - random.random())  # noqa: S311 - a draw
        self.until = fresh_until - ahead

    def follow(self, previous: Entry) -> None:
        """Carry on with what was known of the same record."""
        self.hits = previous.hits
        self.retry_at = previous.retry_at
        self.held_until = previous.held_until
        self.until = min(previous.until, self.fresh_until)


class Local:
    """The entries of one process, least recently used first out.

    Args:
        most_bytes: Room for keys, encoded values and the objects that callers share; 0 keeps nothing.
        most_entries: Values kept.

    Attributes:
        keeps: Whether anything may be put here.
        get: The entry of a key, if there is one.
    """

    def __init__(self, most_bytes: int, most_entries: int) -> None:
        self._most_entries = most_entries
        self.keeps = most_bytes > 0 and most_entries > 0
        self._largest = most_bytes // _LARGEST
        self._entries: cachebox.LRUCache[CacheKey, Entry] = cachebox.LRUCache(
            max(1, most_bytes), getsizeof=lambda _, entry: entry.size
        )
        self._newest: Entry | None = None
        self._changes = 0
        self.get: Callable[[CacheKey], Entry | None] = self._entries.get

    def put(self, key: CacheKey, entry: Entry) -> None:
        """Keep an entry, dropping others that make room for it."""
        size = entry.weigh(key) if self.keeps else None
        if size is None or size > self._largest:
            self.drop(key)
            return
        if self._newest is not None:
            self._newest.settle()
        self._newest = entry
        expected = len(self._entries) + (key not in self._entries)
        self._entries.insert(key, entry)
        while len(self._entries) > self._most_entries:
            self._entries.popitem()
        metrics.evictions.count += expected - len(self._entries)
        self._report()

    def drop(self, key: CacheKey) -> None:
        """Forget one entry."""
        self._entries.pop(key, None)

    def _report(self) -> None:
        self._changes += 1
        if self._changes % REPORT_EVERY == 1:
            metrics.local_bytes.set(self._entries.current_size())
            metrics.local_entries.set(len(self._entries))
