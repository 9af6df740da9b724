"""What a client is told."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sba_ratelimit import Decision, Limit, LimitState
from sba_ratelimit.decision import together

TENANT = Limit(60, per=60, key=("tenant", "t"), name="tenant")
USER = Limit(5, per=0.5, key=("tenant", "t", "user", "u"), name="user")


def test_an_admitted_request_is_told_what_is_left() -> None:
    decision = together([LimitState(TENANT, 59, 1.0, 0), LimitState(USER, 4, 0.1, 0)])
    assert decision.headers() == [
        ("RateLimit-Policy", '"tenant";q=60;w=60, "user";q=5;w=1'),
        ("RateLimit", '"tenant";r=59;t=1, "user";r=4;t=1'),
    ]
    assert decision.remaining == 4


def test_a_denied_request_is_told_when_to_come_back() -> None:
    decision = together([LimitState(TENANT, 0, 59.2, 0.2), LimitState(USER, 1, 0.4, 0)])
    assert not decision.allowed
    assert decision.headers()[1:] == [
        ("RateLimit", '"tenant";r=0;t=60, "user";r=1;t=1'),
        ("Retry-After", "1"),
    ]


@given(st.floats(min_value=1e-6, max_value=1e9))
def test_retry_after_is_never_too_soon_and_less_than_a_second_too_late(wait: float) -> None:
    decision = together([LimitState(TENANT, 0, wait, wait)])
    told = int(dict(decision.headers())["Retry-After"])
    assert wait <= told < wait + 1


def test_an_outage_is_never_reported_as_a_quota() -> None:
    refused = Decision(allowed=False, limits=(LimitState(TENANT, 0, 1, 1),), retry_after=1.0, outage=True)
    assert refused.headers() == [("Retry-After", "1")]
    assert Decision(allowed=True, limits=(), outage=True).headers() == []


def test_nothing_counted_leaves_nothing_to_tell() -> None:
    assert Decision(allowed=True, limits=()).headers() == []
    assert Decision(allowed=True, limits=()).remaining is None
