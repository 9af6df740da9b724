"""Idempotency keys: one request, one outcome, however often and however many ask at once."""

from __future__ import annotations

import asyncio
import random

import pytest

from sba_db import (
    IdempotencyConflict,
    InvalidValue,
    Outcome,
    PayloadTooLarge,
    TenantSession,
    TransactionConflict,
    agent_runs,
    idempotency_keys,
    usage_metrics,
)
from tests.integration.db.conftest import new_run, until_someone_waits_for_a_lock


class Charging:
    """Adds to a counter, and answers how often it was asked to."""

    def __init__(self, session: TenantSession, *, fails: bool = False) -> None:
        self.session = session
        self.fails = fails

    async def __call__(self):
        await usage_metrics.upsert_metrics(self.session, metrics={"charged": 1})
        if self.fails:
            raise ZeroDivisionError
        return {"receipt": [1, "é", None]}


async def charge(database, tenant, *, key="k", request=None, operation="charge", fails=False) -> Outcome:
    async def work(session: TenantSession) -> Outcome:
        return await idempotency_keys.once(
            session,
            operation=operation,
            key=key,
            request=request or {"amount": 1},
            work=Charging(session, fails=fails),
        )

    return await database.run(tenant.id, work)


async def charged(database, tenant) -> int:
    return int((await usage_metrics.total_usage(database.reader(tenant.id))).get("charged", 0))


async def test_a_repeated_request_answers_what_the_first_came_to_and_does_nothing(database, a):
    first = await charge(database, a, request={"x": 1, "y": 2})
    again = await charge(database, a, request={"y": 2, "x": 1})

    assert first == Outcome({"receipt": [1, "é", None]}, replayed=False)
    assert again == Outcome(first.value, replayed=True)
    assert await charged(database, a) == 1


@pytest.mark.parametrize("value", [1e23, {"b": 1, "a": [1.50, -0.0]}, None, "é", [10**30]])
async def test_the_first_answer_is_as_the_repeated_ones_to_the_last_digit(database, a, value):
    async def ask() -> Outcome:
        async def work() -> object:
            return value

        async with database.tenant(a.id) as session:
            return await idempotency_keys.once(session, operation="o", key="k", request=1, work=work)

    first, again = await ask(), await ask()

    assert (first.replayed, again.replayed) == (False, True)
    assert repr(first.value) == repr(again.value)


async def test_forty_concurrent_duplicates_are_carried_out_once_and_all_answered_alike(database, a):
    outcomes = await asyncio.gather(*(charge(database, a) for _ in range(40)))

    assert sum(not outcome.replayed for outcome in outcomes) == 1
    assert {str(outcome.value) for outcome in outcomes} == {str(outcomes[0].value)}
    assert await charged(database, a) == 1


async def test_another_request_under_the_key_is_a_conflict_and_does_nothing(database, a):
    await charge(database, a)

    with pytest.raises(IdempotencyConflict):
        await charge(database, a, request={"amount": 2})
    assert await charged(database, a) == 1


async def test_a_failed_request_frees_its_key_for_the_duplicate_that_waits(database, a):
    duplicates: list[asyncio.Task[Outcome]] = []

    async def fail_while_a_duplicate_waits(session: TenantSession) -> Outcome:
        async def work() -> None:
            duplicates.append(asyncio.create_task(charge(database, a)))
            await until_someone_waits_for_a_lock(database)
            raise ZeroDivisionError

        return await idempotency_keys.once(
            session, operation="charge", key="k", request={"amount": 1}, work=work
        )

    with pytest.raises(ZeroDivisionError):
        await database.run(a.id, fail_while_a_duplicate_waits)

    assert not (await duplicates[0]).replayed
    assert await charged(database, a) == 1


async def test_keys_belong_to_their_tenant_and_operation(database, a, b):
    outcomes = [
        await charge(database, a),
        await charge(database, b),
        await charge(database, a, operation="refund"),
        await charge(database, a, key="other"),
    ]

    assert not any(outcome.replayed for outcome in outcomes)
    assert (await charged(database, a), await charged(database, b)) == (3, 1)


async def test_a_key_of_a_run_is_not_one_of_another_operation(database, a):
    await new_run(database, a, idempotency_key="k")

    assert not (await charge(database, a, key="k")).replayed
    run = await new_run(database, a, idempotency_key="k")
    assert run.replayed


async def test_an_expired_key_may_be_used_again_and_forgets_its_outcome(database, a, superuser):
    await charge(database, a)
    superuser.execute("update service.idempotency_keys set expires_at = now()")

    assert not (await charge(database, a, request={"amount": 2})).replayed
    assert (await charge(database, a, request={"amount": 2})).replayed
    assert await charged(database, a) == 2


async def test_a_key_swept_while_its_duplicate_waits_is_a_conflict_that_is_repeated(database, a, superuser):
    await charge(database, a)
    superuser.execute(
        "create function public.forget() returns trigger language plpgsql security definer as $$"
        " begin delete from service.idempotency_keys; return null; end $$;"
        " create trigger forget after insert on service.idempotency_keys"
        " for each statement execute function public.forget()"
    )

    with pytest.raises(TransactionConflict):
        await charge(database, a)


@pytest.mark.parametrize(
    ("field", "fields"),
    [
        ("idempotency_key", {"key": ""}),
        ("idempotency_key", {"key": "a\0b"}),
        ("operation", {"operation": ""}),
        ("request", {"request": {"x": object()}}),
    ],
)
async def test_what_cannot_be_stored_is_refused_naming_the_field(database, a, field, fields):
    with pytest.raises(InvalidValue) as refused:
        await charge(database, a, **fields)

    assert refused.value.field == field
    assert await charged(database, a) == 0


@pytest.mark.parametrize("keep", [0, -1, float("nan"), 31 * 24 * 3600])
async def test_a_key_is_kept_for_a_sensible_time(database, a, keep):
    with pytest.raises(InvalidValue):
        async with database.tenant(a.id) as session:
            await idempotency_keys.once(
                session,
                operation="o",
                key="k",
                request={},
                work=Charging(session),
                keep_seconds=keep,
            )


async def test_a_key_or_an_outcome_over_its_limit_is_refused_and_nothing_is_left(database, a):
    with pytest.raises(PayloadTooLarge):
        await charge(database, a, key="k" * 256)

    async def too_much(session: TenantSession) -> Outcome:
        async def work() -> str:
            await Charging(session)()
            return "x" * 300_000

        return await idempotency_keys.once(session, operation="o", key="k", request={}, work=work)

    with pytest.raises(PayloadTooLarge):
        await database.run(a.id, too_much)
    assert await charged(database, a) == 0


async def test_a_crowd_of_callers_with_few_keys_makes_one_run_and_one_charge_a_key(database, a):
    """Duplicates, cancellations and failures all at once: each key counts once in the end."""
    chance = random.Random(5)

    async def caller(number: int) -> None:
        key = f"k{number % 6}"
        await asyncio.gather(
            charge(database, a, key=key, fails=chance.random() < 0.3),
            new_run(database, a, idempotency_key=key),
            return_exceptions=True,
        )

    tasks = [asyncio.create_task(caller(number)) for number in range(60)]
    for task in chance.sample(tasks, 10):
        await asyncio.sleep(0)
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    for number in range(6):
        await charge(database, a, key=f"k{number}")
        await new_run(database, a, idempotency_key=f"k{number}")

    assert await charged(database, a) == 6
    assert len((await agent_runs.list_runs(database.reader(a.id))).items) == 6
