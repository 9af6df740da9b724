"""A limit: how many units in how many seconds, for whom."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, field
from typing import Literal, TypeAlias
from uuid import UUID

OutagePolicy: TypeAlias = Literal["open", "closed", "local"]
KeyPart: TypeAlias = str | int | UUID

MICROSECONDS = 1_000_000
LONGEST = 2**50  # microseconds (35 years): with the present time still an exact integer in Lua
KEY_LENGTH = 200
_ESCAPES = str.maketrans({"%": "%25", ":": "%3A", "{": "%7B", "}": "%7D"})


@dataclass(frozen=True, slots=True)
class Limit:
    """`count` units every `per` seconds for one key, spread evenly after a burst (GCRA).

    Units return one by one, every `per / count` seconds rounded up to a microsecond.

    Attributes:
        count: Units per window.
        per: Window in seconds.
        key: Whom it counts, such as `("tenant", tenant_id)`. The first two parts choose the hash slot, so
            limits checked together on a cluster share them: `("tenant", t)` and `("tenant", t, "user", u)`.
        burst: Units that may be taken at once; `count` unless given.
        name: Shown in the headers, part of the key.
        on_outage: While Redis is away, admit (`open`), refuse (`closed`) or count in this process
            with an equal share per node (`local`).

    Raises:
        ValueError: A number is out of range, the key is empty or the name does not fit in a header.
    """

    count: int
    per: float
    key: tuple[KeyPart, ...]
    burst: int | None = None
    name: str = "default"
    on_outage: OutagePolicy = "open"
    capacity: int = field(init=False, repr=False)
    """Units that can be had at once."""
    unit: int = field(init=False, repr=False)
    """Microseconds until one unit returns."""
    redis_key: str = field(init=False, repr=False)
    """Where it is stored; no two key tuples share one."""

    def __post_init__(self) -> None:
        capacity = self.count if self.burst is None else self.burst
        if self.count < 1 or capacity < 1 or not 0 < self.per < math.inf:
            raise ValueError("count, per and burst must be above 0")
        unit = math.ceil(self.per * MICROSECONDS / self.count)
        if self.count > self.per * MICROSECONDS or unit * capacity > LONGEST:
            raise ValueError("a limit allows at most one unit per microsecond and 35 years to refill")
        _check_names(self.name, self.key)
        object.__setattr__(self, "capacity", capacity)
        object.__setattr__(self, "unit", unit)
        object.__setattr__(self, "redis_key", _redis_key(self.name, self.key))


def _check_names(name: str, key: tuple[KeyPart, ...]) -> None:
    if not key or not all(str(part) for part in key):
        raise ValueError("a key has at least one part and no empty ones")
    if not name or not name.isascii() or not name.isprintable() or '"' in name or "\\" in name:
        raise ValueError("a name is printable ASCII without quotes or backslashes")


def _redis_key(name: str, key: tuple[KeyPart, ...]) -> str:
    parts = [str(part).translate(_ESCAPES) for part in key]
    text = f"sba:rl:{{{':'.join(parts[:2])}}}:{':'.join([name.translate(_ESCAPES), *parts[2:]])}"
    if len(text) <= KEY_LENGTH:
        return text
    return f"sba:rl:{{%{_digest(':'.join(parts[:2]))}}}:%{_digest(text)}"


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
