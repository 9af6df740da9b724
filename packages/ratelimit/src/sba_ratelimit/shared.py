"""The counters on the server: one script call whatever the number of limits."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from typing import Final

from sba_ratelimit.decision import Decision, LimitState, together
from sba_ratelimit.errors import SlotsDiffer
from sba_ratelimit.key import hash_tag
from sba_ratelimit.limit import MICROSECONDS, Limit
from sba_resilience.errors import RedisCommandError
from sba_resilience.redis import RedisClient, Script

MARK: Final = "sba:rlc:"  # a key with this prefix changes when a denial may no longer hold
_SCRIPTS: Final = files("sba_ratelimit") / "scripts"


def load(redis: RedisClient, name: str) -> Script:
    """One of the scripts of this package."""
    return redis.script((_SCRIPTS / name).read_text())


def explain(error: RedisCommandError, stored: Sequence[str], names: Sequence[str]) -> None:
    """Say which two do not share a hash slot, if that is what the server complains of.

    Raises:
        SlotsDiffer: It is.
    """
    if error.code == "CROSSSLOT":
        tags = [hash_tag(place) for place in stored]
        other = next((n for n, tag in enumerate(tags) if tag != tags[0]), 0)
        raise SlotsDiffer(names[0], names[other]) from error


class SharedCounters:
    """Counts on the server's clock.

    Args:
        redis: The guarded client.

    Every method raises `RedisUnavailable`, `RedisCommandError` when the server refuses the script, and
    `SlotsDiffer` when a cluster cannot decide the limits together.
    """

    __slots__ = ("_gcra", "_mixed", "_refund", "_reset")

    def __init__(self, redis: RedisClient) -> None:
        self._gcra = load(redis, "gcra.lua")
        self._mixed = load(redis, "mixed.lua")
        self._refund = load(redis, "refund.lua")
        self._reset = load(redis, "reset.lua")

    async def check(self, limits: Sequence[Limit], cost: int, *, write: bool) -> Decision:
        """Take the cost from every limit, or from none; only look unless `write`."""
        keys, words, plain = [], [int(write), cost], True
        for limit in limits:
            quota = limit.quota
            keys.append(limit.redis_key)
            words += (quota.unit, quota.capacity)
            plain = plain and quota.plain
        try:
            reply = await (
                self._gcra(keys, words) if plain else self._mixed(keys, words_of(limits, words[:2]))
            )
        except RedisCommandError as error:
            _explain(error, limits)
            raise
        figures = iter(reply[1:-1])
        return together(
            [
                LimitState(limit, remaining, reset / MICROSECONDS, wait / MICROSECONDS)
                for limit, remaining, reset, wait in zip(limits, figures, figures, figures, strict=True)
            ],
            taken_at=reply[-1] if write else None,
        )

    async def refund(self, limits: Sequence[Limit], cost: int, taken_at: int | None) -> None:
        """Give back, and let every node forget that it denied."""
        await self._change(self._refund, limits, words_of(limits, [cost, taken_at or 0]))

    async def reset(self, limits: Sequence[Limit]) -> None:
        """Make full, and let every node forget that it denied."""
        await self._change(self._reset, limits, [])

    async def _change(self, script: Script, limits: Sequence[Limit], words: list[int]) -> None:
        keys = [limit.redis_key for limit in limits]
        try:
            await script([*keys, *(MARK + limit.stored for limit in limits)], words)
        except RedisCommandError as error:
            _explain(error, limits)
            raise


def words_of(limits: Sequence[Limit], words: list[int]) -> list[int]:
    """Arguments of the scripts that know every algorithm: `words`, then three for each limit."""
    for limit in limits:
        quota = limit.quota
        sliding = quota.algorithm == "sliding_window"
        words += (
            sliding + 2 * quota.shadow,
            quota.window if sliding else quota.unit,
            quota.capacity,
        )
    return words


def _explain(error: RedisCommandError, limits: Sequence[Limit]) -> None:
    explain(error, [limit.stored for limit in limits], [limit.name for limit in limits])
