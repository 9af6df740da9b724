"""A limit: how many units in how many seconds, for whom."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final, Literal, TypeAlias

from sba_ratelimit.key import Key, KeyPart, check_names, stored_at

Algorithm: TypeAlias = Literal["gcra", "sliding_window"]
OutagePolicy: TypeAlias = Literal["open", "closed", "local"]

MICROSECONDS: Final = 1_000_000
LONGEST: Final = 2**50  # microseconds (35 years): with the present time still an exact integer in Lua
_PREFIXES: Final = {"gcra": "sba:rl:", "sliding_window": "sba:rls:"}
_POLICIES: Final = ("open", "closed", "local")
_put: Final = object.__setattr__  # how a frozen dataclass fills itself


@dataclass(frozen=True, slots=True)
class Quota:
    """How many units in how many seconds, for whomever it is applied to.

    Attributes:
        count: Units per window.
        per: Window in seconds.
        burst: GCRA only: units that may be taken at once; `count` unless given.
        name: Shown in the headers, part of the key.
        on_outage: While Redis is away, admit (`open`), refuse (`closed`) or count in this process
            with an equal share per node (`local`).
        algorithm: `gcra`: after a burst, one unit returns every `per / count` seconds (rounded up to a
            microsecond). `sliding_window`: no window of `per` seconds ever holds more than `count` units.
        shadow: Counted and reported, but it never refuses and never stops other limits.

    Raises:
        ValueError: A number is out of range or the name does not fit in a header.
    """

    count: int
    per: float
    burst: int | None = None
    name: str = "default"
    on_outage: OutagePolicy = "open"
    algorithm: Algorithm = "gcra"
    shadow: bool = False
    capacity: int = field(init=False, repr=False, compare=False)
    """Units that can be had at once."""
    unit: int = field(init=False, repr=False, compare=False)
    """Microseconds until one unit returns, on average."""
    window: int = field(init=False, repr=False, compare=False)
    """Microseconds in `per`."""
    policy: str = field(init=False, repr=False, compare=False)
    """This quota in a `RateLimit-Policy` header."""
    _hash: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        capacity = self.count if self.burst is None else self.burst
        if self.count < 1 or capacity < 1 or not 0 < self.per < math.inf:
            raise ValueError("count, per and burst must be above 0")
        unit = math.ceil(self.per * MICROSECONDS / self.count)
        if self.count > self.per * MICROSECONDS or unit * max(capacity, self.count) > LONGEST:
            raise ValueError("a limit allows at most one unit per microsecond and 35 years to refill")
        self._check_words()
        _put(self, "capacity", capacity)
        _put(self, "unit", unit)
        _put(self, "window", math.ceil(self.per * MICROSECONDS))
        _put(self, "policy", f'"{self.name}";q={self.count};w={math.ceil(self.per)}')
        _put(self, "_hash", hash((self.count, self.per, self.burst, self.name, self.algorithm)))

    def __hash__(self) -> int:
        return self._hash

    @property
    def plain(self) -> bool:
        """Whether the shortest script decides it: GCRA, enforced."""
        return self.algorithm == "gcra" and not self.shadow

    def _check_words(self) -> None:
        name = self.name
        if not name or not name.isascii() or not name.isprintable() or '"' in name or "\\" in name:
            raise ValueError("a name is printable ASCII without quotes or backslashes")
        if self.on_outage not in _POLICIES or self.algorithm not in _PREFIXES:
            raise ValueError("on_outage is open, closed or local; algorithm is gcra or sliding_window")
        if self.algorithm == "sliding_window" and self.burst is not None:
            raise ValueError("a sliding window has no burst: any window may hold `count` units")


quota: Final = lru_cache(maxsize=4096)(Quota)
"""The same quota for the same words: checked once, and compared by identity from then on."""


@dataclass(frozen=True, slots=True, init=False)
class Limit:
    """A quota applied to one key; cheap to make for every request.

    Args:
        count: Units per window.
        per: Window in seconds.
        key: Whom it counts, such as `("tenant", tenant_id)`. The first two parts choose the hash slot, so
            limits checked together on a cluster share them: `("tenant", t)` and `("tenant", t, "user", u)`.
        burst: See `Quota`.
        name: See `Quota`.
        on_outage: See `Quota`.
        algorithm: See `Quota`.
        shadow: See `Quota`.

    Raises:
        ValueError: A number is out of range, the key is empty or the name does not fit in a header.
    """

    key: Key
    quota: Quota
    _redis_key: str = field(repr=False, compare=False)

    def __init__(  # noqa: PLR0917 - all but three have defaults and are given by name
        self,
        count: int,
        per: float,
        key: Key,
        burst: int | None = None,
        name: str = "default",
        on_outage: OutagePolicy = "open",
        algorithm: Algorithm = "gcra",
        shadow: bool = False,  # noqa: FBT001, FBT002 - always given by name
    ) -> None:
        if not key or "" in key:
            check_names(name, key)
        _put(self, "quota", quota(count, per, burst, name, on_outage, algorithm, shadow))
        _put(self, "key", key)
        _put(self, "_redis_key", "")

    @classmethod
    def of(cls, quota: Quota, *key: KeyPart) -> Limit:
        """Apply a quota to a key.

        Raises:
            ValueError: The key is empty.
        """
        check_names(quota.name, key)
        made = cls.__new__(cls)
        _put(made, "quota", quota)
        _put(made, "key", key)
        _put(made, "_redis_key", "")
        return made

    @property
    def stored(self) -> str:
        """The Redis key without its prefix; no two names and keys share one."""
        return self.redis_key.removeprefix(_PREFIXES[self.quota.algorithm])

    @property
    def redis_key(self) -> str:
        """Where it is counted."""
        if not self._redis_key:
            prefix = _PREFIXES[self.quota.algorithm]
            _put(self, "_redis_key", prefix + stored_at(self.quota.name, self.key))
        return self._redis_key

    @property
    def count(self) -> int:
        """Units per window."""
        return self.quota.count

    @property
    def per(self) -> float:
        """Window in seconds."""
        return self.quota.per

    @property
    def name(self) -> str:
        """Shown in the headers, part of the key."""
        return self.quota.name

    @property
    def on_outage(self) -> OutagePolicy:
        """What holds while Redis is away."""
        return self.quota.on_outage

    @property
    def shadow(self) -> bool:
        """Whether it never refuses."""
        return self.quota.shadow

    @property
    def capacity(self) -> int:
        """Units that can be had at once."""
        return self.quota.capacity

    @property
    def unit(self) -> int:
        """Microseconds until one unit returns, on average."""
        return self.quota.unit
