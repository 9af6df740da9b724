"""Whose fault an error is, and what it asks for."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from sba_resilience import BulkheadFull, is_fault, retry_after_of, status_of
from sba_resilience.testing import FakeClock


class Failed(Exception):
    def __init__(self, **told: object) -> None:
        vars(self).update(told)


@pytest.mark.parametrize(
    ("error", "fault"),
    [
        (ConnectionError(), True),
        (Failed(status_code=500), True),
        (Failed(status_code=429), True),
        (Failed(status=408), True),
        (Failed(status_code=404), False),
        (Failed(response=SimpleNamespace(status_code=422)), False),
        (Failed(response=SimpleNamespace(status=503)), True),
        (Failed(status_code=7), True),
        (Failed(status="404"), True),
        (BulkheadFull(1, 0), False),
        (asyncio.CancelledError(), False),
        (KeyboardInterrupt(), False),
    ],
)
def test_an_error_speaks_against_the_dependency_or_not(error: BaseException, *, fault: bool) -> None:
    assert is_fault(error) is fault


def test_the_status_is_found_where_http_clients_put_it() -> None:
    assert status_of(Failed(status_code=404)) == 404
    assert status_of(Failed(response=SimpleNamespace(status_code=503))) == 503
    assert status_of(ValueError()) is None


@pytest.mark.parametrize(
    ("error", "seconds"),
    [
        (Failed(retry_after=2.5), 2.5),
        (Failed(retry_after="3"), 3.0),
        (Failed(retry_after=0), 0.0),
        (Failed(retry_after=-1), 0.0),
        (Failed(retry_after=float("nan")), 0.0),
        (Failed(retry_after=object()), 0.0),
        (Failed(response=SimpleNamespace(headers={"Retry-After": "7"})), 7.0),
        (Failed(response=SimpleNamespace(headers={"retry-after": "7"})), 7.0),
        (Failed(response=SimpleNamespace(headers={"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"})), 0.0),
        (Failed(response=SimpleNamespace(headers=[])), 0.0),
        (ValueError(), 0.0),
    ],
)
def test_what_an_error_asks_for_is_a_number_of_seconds_or_nothing(error: Failed, seconds: float) -> None:
    assert retry_after_of(error) == seconds


async def test_a_fake_clock_moves_when_told_and_never_back() -> None:
    clock = FakeClock(5.0)
    await clock.sleep(2.0)
    clock.advance(1.0)
    assert (clock(), clock.slept) == (8.0, [2.0])
    with pytest.raises(ValueError, match="backwards"):
        clock.advance(-1)
