"""Which refusal a client is told, and how often the shared limits are asked."""

from __future__ import annotations

from uuid import uuid4

from sba_ratelimit import Limit
from sba_ratelimit.events import ALLOWED, Verdict
from sba_ws.bucket import TokenBucket
from sba_ws.client import Client
from sba_ws.limits import Limits
from sba_ws.outgoing import OutgoingQueue
from sba_ws.shares import Shares
from sba_ws.wire import Wire


class Events:
    """Answers what it is told to."""

    def __init__(self, now: Verdict | None, later: Verdict = ALLOWED) -> None:
        self.now, self.later = now, later
        self.asked: list[tuple[Limit, ...]] = []

    def take_now(self, limits: tuple[Limit, ...], *, cost: int = 1) -> Verdict | None:
        return self.now

    async def take(self, limits: tuple[Limit, ...], *, cost: int = 1) -> Verdict:
        self.asked.append(limits)
        return self.later


def client() -> Client:
    wire = Wire("wire", OutgoingQueue(1, 1), TokenBucket(1, 1, lambda: 0.0))
    return Client("sid", wire, uuid4(), uuid4(), None, 0.0)


async def test_what_is_held_here_is_decided_without_asking() -> None:
    events = Events(ALLOWED)
    assert await Shares(events, Limits())(client()) is None
    assert events.asked == []


async def test_tenant_and_user_are_asked_for_together_in_one_hash_slot() -> None:
    events, asking = Events(None), client()
    shares = Shares(events, Limits())
    assert await shares(asking) is None
    assert await shares(asking) is None
    assert events.asked[0] is events.asked[1]
    assert [limit.name for limit in events.asked[0]] == ["ws-tenant", "ws-user"]
    assert len({limit.redis_key.partition("}")[0] for limit in events.asked[0]}) == 1


async def test_a_spent_quota_and_an_outage_are_told_apart() -> None:
    spent = await Shares(Events(Verdict(allowed=False, retry_after=2.5)), Limits())(client())
    away = await Shares(Events(None, Verdict(allowed=False, retry_after=0.2, outage=True)), Limits())(
        client()
    )
    assert spent is not None
    assert (spent.code, spent.retry_after) == ("rate_limited", 2.5)
    assert away is not None
    assert (away.code, away.retry_after) == ("unavailable", 1.0)
