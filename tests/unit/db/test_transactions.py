"""Which transactions are run again, how often, and how long is waited before."""

from __future__ import annotations

import pytest

from sba_db import (
    ConstraintViolated,
    DatabaseTimeout,
    DatabaseUnavailable,
    LeaseLost,
    MembershipDenied,
    PoolExhausted,
    TransactionConflict,
    new_id,
)
from sba_db.transactions import LONGEST_WAIT, Transactions, begin, left_nothing, left_nothing_or_the_same
from sba_resilience import Deadline, RetryBudget
from sba_resilience.testing import FakeClock

CONFLICT = TransactionConflict("DeadlockDetected")
LOST = DatabaseUnavailable(retry_after=0.1)
IN_DOUBT = DatabaseUnavailable("who knows", retry_after=0.1, in_doubt=True)
FINAL = [
    PoolExhausted("full"),
    DatabaseTimeout("late"),
    LeaseLost(new_id()),
    MembershipDenied(),
    ConstraintViolated(constraint="c", kind="unique", table="t"),
    ZeroDivisionError(),
]


class Failing:
    """A transaction that fails as told, then answers how often it ran."""

    def __init__(self, *errors: BaseException) -> None:
        self.errors = list(errors)
        self.runs = 0

    async def __call__(self) -> int:
        self.runs += 1
        if self.errors:
            raise self.errors.pop(0)
        return self.runs


def transactions(attempts: int = 5, **fields) -> tuple[Transactions, FakeClock]:
    clock = FakeClock()
    return Transactions(attempts, sleep=clock.sleep, **fields), clock


@pytest.mark.parametrize("error", [CONFLICT, LOST])
async def test_a_transaction_that_left_nothing_behind_is_run_again(error):
    runner, clock = transactions()

    assert await runner.run(Failing(error, error), idempotent=False) == 3
    assert len(clock.slept) == 2


async def test_waits_are_random_and_bounded():
    waits = set()
    for _ in range(20):
        runner, clock = transactions()
        await runner.run(Failing(*[CONFLICT] * 4), idempotent=False)
        assert max(clock.slept) <= LONGEST_WAIT
        waits |= set(clock.slept)

    assert len(waits) > 20


@pytest.mark.parametrize("error", FINAL, ids=lambda error: type(error).__name__)
async def test_what_another_run_would_not_change_is_final(error):
    runner, _ = transactions()
    work = Failing(error)

    with pytest.raises(type(error)):
        await runner.run(work, idempotent=True)
    assert work.runs == 1


async def test_a_commit_in_doubt_is_repeated_only_for_what_may_happen_twice():
    runner, _ = transactions()
    doubtful = Failing(IN_DOUBT)

    with pytest.raises(DatabaseUnavailable) as raised:
        await runner.run(doubtful, idempotent=False)
    assert raised.value.in_doubt
    assert doubtful.runs == 1
    assert await runner.run(Failing(IN_DOUBT), idempotent=True) == 2


async def test_the_last_error_is_raised_when_the_attempts_are_used_up():
    runner, _ = transactions(3)
    work = Failing(*[CONFLICT] * 9)

    with pytest.raises(TransactionConflict):
        await runner.run(work, idempotent=False)
    assert work.runs == 3


async def test_a_storm_of_conflicts_is_bounded_by_the_shared_budget():
    clock = FakeClock()
    budget = RetryBudget(share=0.0, per_second=0.0, burst=7.0, clock=clock)
    runner, _ = transactions(100, budget=budget)
    works = [Failing(*[CONFLICT] * 100) for _ in range(5)]
    for number, work in enumerate(works):
        with pytest.raises(TransactionConflict):
            await runner.run(work, idempotent=number % 2 == 0)

    assert sum(work.runs for work in works) == 5 + 7


async def test_no_run_is_begun_that_would_end_after_the_deadline():
    runner, clock = transactions()
    work = Failing(DatabaseUnavailable(retry_after=5.0))
    with Deadline.after(1.0, clock).scope(), pytest.raises(DatabaseUnavailable):
        await runner.run(work, idempotent=False)

    assert work.runs == 1
    assert clock.slept == []


async def test_a_server_that_is_to_be_left_alone_for_longer_is_not_waited_for():
    runner, clock = transactions()
    work = Failing(DatabaseUnavailable(retry_after=LONGEST_WAIT + 0.1))

    with pytest.raises(DatabaseUnavailable):
        await runner.run(work, idempotent=True)
    assert work.runs == 1
    assert clock.slept == []


def test_the_two_rules_differ_in_a_commit_in_doubt_alone():
    for error in (CONFLICT, LOST, *FINAL):
        assert left_nothing(error) is left_nothing_or_the_same(error)
    assert (left_nothing(IN_DOUBT), left_nothing_or_the_same(IN_DOUBT)) == (False, True)


def test_every_isolation_level_begins_a_transaction_that_may_write():
    for isolation in ("read committed", "repeatable read", "serializable"):
        statement, params = begin(isolation)
        assert statement.startswith("begin")
        assert statement.endswith("read write")
        assert params == {}
