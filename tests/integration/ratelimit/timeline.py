"""The scripts on a clock of the test's own."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files

from sba_ratelimit import Decision, Limit, LimitState
from sba_ratelimit.decision import together
from sba_ratelimit.shared import words_of
from sba_resilience.redis import RedisClient, Script

EPOCH = 1_795_000_000_000_000
CLOCK = """
local real, at = redis, tonumber(ARGV[#ARGV])
local redis = {}
function redis.call(command, ...)
  if command == 'TIME' then return { math.floor(at / 1000000), at % 1000000 } end
  if command == 'SET' then return real.call(command, (select(1, ...)), (select(2, ...))) end
  return real.call(command, ...)
end
"""


def on_test_clock(redis: RedisClient, name: str) -> Script:
    """The script with the time as its last argument and no expiry, which is in real time."""
    text = (files("sba_ratelimit") / "scripts" / name).read_text()
    assert "redis.call('TIME')" in text
    return redis.script(CLOCK + text)


class Timeline:
    """Checks and refunds at times of the test's choice."""

    def __init__(self, redis: RedisClient) -> None:
        self.gcra, self.mixed, self.give = (
            on_test_clock(redis, name) for name in ("gcra.lua", "mixed.lua", "refund.lua")
        )

    async def ask(
        self, limits: Sequence[Limit], cost: int, now: int, *, write: bool, plain: bool = False
    ) -> list[int]:
        """The script's reply without its time."""
        words = [int(write), cost]
        if plain:
            words += [word for limit in limits for word in (limit.unit, limit.capacity)]
        else:
            words = words_of(limits, words)
        script = self.gcra if plain else self.mixed
        *reply, taken_at = await script([limit.redis_key for limit in limits], [*words, now])
        assert taken_at == now
        return reply

    async def decide(self, limits: Sequence[Limit], cost: int, now: int, *, write: bool) -> Decision:
        """What a limiter makes of the reply."""
        allowed, *figures = await self.ask(limits, cost, now, write=write)
        rows = zip(limits, figures[::3], figures[1::3], figures[2::3], strict=True)
        decision = together(
            [LimitState(limit, left, full / 1e6, wait / 1e6) for limit, left, full, wait in rows]
        )
        assert decision.allowed == bool(allowed)
        return decision

    async def refund(self, limits: Sequence[Limit], cost: int, now: int, taken_at: int = 0) -> None:
        """Give back what was taken then, if it is known."""
        keys = [limit.redis_key for limit in limits]
        await self.give([*keys, *(f"mark:{key}" for key in keys)], [*words_of(limits, [cost, taken_at]), now])
