"""How long what was read may be believed: what is told of changes, and for how long silence counts."""

from __future__ import annotations

import math
import secrets
from collections.abc import Callable
from typing import Final, NamedTuple, Protocol

import cachebox

from sba_cache.key import (
    VERSIONS,
    CacheKey,
    lease_prefix,
    touch_key,
    value_prefix,
    version_key,
)
from sba_cache.metrics import Meter, meter_of
from sba_cache.record import VERSION_BYTES
from sba_resilience.redis import RedisClient

SCOPES: Final = 20_000
TOGETHER: Final = 25
"""Values asked for with one command: the server looks them up while the next are put together."""
UNHEARD: Final = -1
"""An epoch that no watch ever has."""


class Watch(Protocol):
    """What hears of changes on other nodes."""

    epoch: int
    live_until: float


class Deaf:
    """Hears of nothing."""

    epoch = 0
    live_until = -math.inf


class Scope:
    """The versions that a key's value depends on, and how often one of them may have changed.

    Attributes:
        generation: Grows with every change heard of; what was read under another one is not believed.
        version_keys: Where the versions are stored: of the tenant, of the namespace, of each tag.
        touch_key: What is written when single values are replaced.
        value_prefix: What names of values begin with.
        lease_prefix: What names of leases begin with.
        together: Values one command asks for at most, by how large they turned out.
        meter: Where reads are counted.
    """

    __slots__ = (
        "generation", "lease_prefix", "meter", "together", "touch_key", "value_prefix", "version_keys",
    )  # fmt: skip

    def __init__(self, tenant: str, namespace: str, tags: tuple[str, ...]) -> None:
        of_tags = (version_key(tenant, tag=tag) for tag in sorted(set(tags)))
        self.version_keys = (version_key(tenant), version_key(tenant, namespace), *of_tags)
        self.touch_key = touch_key(tenant, namespace)
        self.value_prefix = value_prefix(tenant, namespace)
        self.lease_prefix = lease_prefix(tenant, namespace)
        self.generation = 0
        self.together = TOGETHER
        self.meter: Meter = meter_of(namespace)

    @property
    def watched(self) -> tuple[str, ...]:
        """Every name whose change matters."""
        return (*self.version_keys, self.touch_key)


class Mark(NamedTuple):
    """Taken before a read is sent: what must still be so for the answer to be believed later."""

    scope: Scope
    generation: int
    epoch: int
    until: float


class Coherence:
    """What this node knows of changes, its own included.

    Args:
        redis: Watches the versions.
        clock: Monotonic seconds, the same as the client's.
        window: Seconds for which a read is believed although nothing tells of changes.
        listens: Whether to watch at all.
    """

    def __init__(
        self, redis: RedisClient, clock: Callable[[], float], *, window: float, listens: bool = True
    ) -> None:
        self._redis = redis
        self._clock = clock
        self._window = window
        self._listens = listens
        self._scopes: cachebox.LRUCache[tuple[str, str, tuple[str, ...]], Scope] = cachebox.LRUCache(SCOPES)
        self._by_name: dict[str, set[Scope]] = {}
        self.watch: Watch = Deaf()

    def scope(self, key: CacheKey, tags: tuple[str, ...]) -> Scope:
        """The scope of a key with these tags."""
        name = (key[0], key[1], tags)
        known: Scope | None = self._scopes.get(name)
        return self._add(name) if known is None else known

    def mark(self, scope: Scope) -> Mark:
        """To be taken before a read is sent."""
        if self._listens:
            self._listen()
        return Mark(scope, scope.generation, self.watch.epoch, self._clock() + self._window)

    def unheard(self, scope: Scope) -> Mark:
        """For what does not come from Redis: believed for the window alone."""
        return Mark(scope, scope.generation, UNHEARD, self._clock() + self._window)

    def holds(self, mark: Mark) -> bool:
        """Whether what was read after the mark was taken is still to be believed."""
        scope, generation, epoch, until = mark
        if scope.generation != generation:
            return False
        now, watch = self._clock(), self.watch
        return now < until or (epoch == watch.epoch and now < watch.live_until)

    def changed(self, name: str) -> None:
        """Believe nothing that depends on this version or touch."""
        for scope in self._by_name.get(name, ()):
            scope.generation += 1

    def _listen(self) -> None:
        self._listens = False
        self.watch = self._redis.watch(VERSIONS, self.changed)

    def _add(self, name: tuple[str, str, tuple[str, ...]]) -> Scope:
        while len(self._scopes) >= SCOPES:
            self._drop(self._scopes.popitem()[1])
        scope = Scope(*name)
        self._scopes.insert(name, scope)
        for watched in scope.watched:
            self._by_name.setdefault(watched, set()).add(scope)
        return scope

    def _drop(self, scope: Scope) -> None:
        scope.generation += 1
        for watched in scope.watched:
            scopes = self._by_name[watched]
            scopes.discard(scope)
            if not scopes:
                del self._by_name[watched]


def new_version() -> bytes:
    """A version no other change has."""
    return secrets.token_bytes(VERSION_BYTES)
