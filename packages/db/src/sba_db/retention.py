"""Keeps months ahead, and lets go of what a policy no longer keeps.

Nothing is dropped or deleted of a table that the policy does not name, apart from expired idempotency keys.
What is to be dropped is dropped a partition at a time; the audit log is checkpointed first.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from datetime import date
from enum import StrEnum
from types import MappingProxyType
from typing import Final, Protocol
from uuid import UUID

from psycopg import errors as pg

from sba_db import partitions, seals
from sba_db.errors import InvalidValue
from sba_db.owner import OwnerConnection, migration_lock, owner_connection
from sba_db.partitions import AHEAD, Partition
from sba_resilience import Retry

RUNS: Final = "agent_runs"
KEYS: Final = "idempotency_keys"
AUDIT: Final = "audit_logs"
OF_RUNS: Final = ("agent_steps", "run_events", "tool_calls")
KEEPABLE: Final = (RUNS, *partitions.TABLES)
MOST_MONTHS: Final = 1200
MOST_AHEAD: Final = 24

LOCK_WAIT: Final = 1.0
LOCK_TRIES: Final = 10
RUNS_AT_ONCE: Final = 500
KEYS_AT_ONCE: Final = 5_000

NEXT_WITH_RUNS: Final = """
select r.tenant_id as id from service.agent_runs r
where r.tenant_id > %(past)s and r.finished_at is not null order by r.tenant_id limit 1
"""
OVER: Final = """
r.finished_at < %(before)s::date::timestamp at time zone 'UTC'
and r.id < service.first_id_at(%(before)s::date::timestamp at time zone 'UTC')
"""
COUNT_RUNS: Final = f"select count(*) as rows from service.agent_runs r where {OVER}"  # noqa: S608 - our constants
DELETE_RUNS: Final = f"""
with old as (
    select r.id from service.agent_runs r where r.tenant_id = %(tenant)s and r.id > %(past)s and {OVER}
    order by r.id limit %(batch)s
), gone as (
    delete from service.agent_runs r using old
    where r.tenant_id = %(tenant)s and r.id = old.id and r.finished_at is not null
    returning r.id
)
select (select count(*) from gone) as rows, (select id from old order by id desc limit 1) as reached
"""  # noqa: S608 - our constants
NEXT_WITH_KEYS: Final = """
select k.tenant_id as id from service.idempotency_keys k
where k.tenant_id > %(past)s and k.expires_at <= now() order by k.tenant_id limit 1
"""
COUNT_KEYS: Final = "select count(*) as rows from service.idempotency_keys k where k.expires_at <= now()"
DELETE_KEYS: Final = """
delete from service.idempotency_keys k using (
    select i.operation, i.key from service.idempotency_keys i
    where i.tenant_id = %(tenant)s and i.expires_at <= now() limit %(batch)s
) old
where k.tenant_id = %(tenant)s and k.operation = old.operation and k.key = old.key and k.expires_at <= now()
"""


class Kind(StrEnum):
    """What is done.

    Attributes:
        MAKE: A month's partition, into which its rows are moved out of the default partition.
        CHECKPOINT: Of the audit chains, before audit rows go.
        DROP: A month's partition.
        TRIM: The default partition, of rows that are older than the policy keeps.
        EXPIRE: Finished runs with all that is left of them.
        SWEEP: Expired idempotency keys.
        ANALYZE: A table whose partitions have changed.
    """

    MAKE = "make"
    CHECKPOINT = "checkpoint"
    DROP = "drop"
    TRIM = "trim"
    EXPIRE = "expire"
    SWEEP = "sweep"
    ANALYZE = "analyze"


_WORDS: Final = MappingProxyType(
    {
        Kind.MAKE: "make {name} with {rows} rows of {table}_default",
        Kind.CHECKPOINT: "checkpoint the audit chains before {month}",
        Kind.DROP: "drop {name} ({bytes} bytes)",
        Kind.TRIM: "delete {rows} rows before {month} of {table}_default",
        Kind.EXPIRE: "delete {rows} runs that finished before {month}",
        Kind.SWEEP: "delete {rows} expired idempotency keys",
        Kind.ANALYZE: "analyze {table}",
    }
)


@dataclass(frozen=True, slots=True)
class Action:
    """One thing that is, or would be, done.

    Attributes:
        kind: What.
        table: To which table.
        month: The partition's, or the first that stays; None where it is about no month.
        rows: Moved or deleted; what a dry run says may have changed when it is done.
        bytes: That a dropped partition took.
    """

    kind: Kind
    table: str
    month: date | None = None
    rows: int = 0
    bytes: int = 0

    @property
    def partition(self) -> Partition:
        """The partition it is about."""
        if self.month is None:
            raise InvalidValue("is about no partition", field="action")
        return Partition(self.table, self.month, self.bytes)

    def __str__(self) -> str:
        """One line for a person."""
        name = self.partition.name if self.month else ""
        return _WORDS[self.kind].format(
            name=name, table=self.table, month=self.month, rows=self.rows, bytes=self.bytes
        )


@dataclass(frozen=True, slots=True)
class Policy:
    """How many whole months are kept besides the current one.

    Attributes:
        keep_months: For each partitioned table that `keep` does not name; None keeps all there is.
        keep: By table; `agent_runs` as well, whose finished runs are deleted with their steps, events and
            tool calls, and so are kept for at least as long as these.
        ahead: How many months to make beyond the current one.

    Raises:
        InvalidValue: A number out of range, another table, or runs that would go before what is theirs.
    """

    keep_months: int | None = None
    keep: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    ahead: int = AHEAD

    def __post_init__(self) -> None:
        if unknown := sorted(self.keep.keys() - set(KEEPABLE)):
            raise InvalidValue(f"is not one of {', '.join(KEEPABLE)}", field=unknown[0])
        given = {"keep_months": self.keep_months, **self.keep}
        for name, number in given.items():
            if number is not None and not 1 <= number <= MOST_MONTHS:
                raise InvalidValue(f"must be between 1 and {MOST_MONTHS} months", field=name)
        if not 1 <= self.ahead <= MOST_AHEAD:
            raise InvalidValue(f"must be between 1 and {MOST_AHEAD} months", field="ahead")
        self._runs_go_last()

    def months(self, table: str) -> int | None:
        """How many whole months of a table stay besides the current one; None for all."""
        return self.keep.get(table, None if table == RUNS else self.keep_months)

    def _runs_go_last(self) -> None:
        of_runs = self.months(RUNS)
        for table in OF_RUNS:
            months = self.months(table)
            if of_runs is not None and (months is None or months > of_runs):
                raise InvalidValue(f"go with their {table}, which are kept for longer", field=RUNS)


class Checkpoint(Protocol):
    """Writes down up to where the audit chains may miss their rows; `sba_db.seals.checkpoint` does."""

    async def __call__(self, connection: OwnerConnection, before: UUID) -> None:
        """Rows with an id below `before` are about to go."""
        ...


OnAction = Callable[[Action], None]


async def retention(
    url: str,
    policy: Policy,
    on_action: OnAction | None = None,
    *,
    dry_run: bool = False,
    checkpoint: Checkpoint = seals.checkpoint,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> list[Action]:
    """Make the months ahead, drop the months a policy no longer keeps, and sweep what has expired.

    Safe to repeat, to run twice at once, and to break off: each action is whole. For a lock that the
    application holds, each waits a second at most, some times over, so that traffic never queues for longer.

    Args:
        url: DSN of `sba_migrator`, on a direct connection.
        policy: What is kept.
        on_action: Told of each action that is done, or would be.
        dry_run: Change nothing.
        checkpoint: Called before audit rows go.
        sleep: Waits the given seconds between two tries for a lock.

    Returns:
        What was done, or would be.

    Raises:
        UnsafeRole: The login may not act as `sba_owner`.
        MigrationLocked: A migration is running, or another retention is at the partitions.
        DatabaseTimeout: A lock could not be had; what was told is done.
        DatabaseUnavailable: Postgres is not reachable.
    """
    done: list[Action] = []
    async with owner_connection(url, lock_timeout=LOCK_WAIT) as connection:
        keeper = _Keeper(connection, checkpoint, sleep)
        async with aclosing(keeper.would_do(policy) if dry_run else keeper.does(policy)) as actions:
            async for action in actions:
                done.append(action)
                if on_action is not None:
                    on_action(action)
    return done


class _Keeper:
    """One run of retention on one connection."""

    def __init__(
        self,
        connection: OwnerConnection,
        checkpoint: Checkpoint,
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        self._connection = connection
        self._checkpoint = checkpoint
        worth = (pg.LockNotAvailable, pg.DeadlockDetected)
        self._retry = Retry(LOCK_TRIES, 0.5, 5.0, retry_on=worth, name="postgres.retention", sleep=sleep)

    async def would_do(self, policy: Policy) -> AsyncGenerator[Action, None]:
        """The plan, with the rows there are to delete."""
        for action in await _of_partitions(self._connection, policy):
            yield action
        for action, count in await self._of_rows(policy):
            row = await (await self._connection.execute(count, {"before": action.month})).fetchone()
            if row and row["rows"]:
                yield replace(action, rows=row["rows"])

    async def does(self, policy: Policy) -> AsyncGenerator[Action, None]:
        """Each action, when it is done."""
        async with migration_lock(self._connection):
            for planned in await _of_partitions(self._connection, policy):
                yield await self._retry.call(self._do, planned)
        for planned, _ in await self._of_rows(policy):
            done = await self._do(planned)
            if done.rows:
                yield done

    async def _of_rows(self, policy: Policy) -> list[tuple[Action, bytes]]:
        found = [(Action(Kind.SWEEP, KEYS), COUNT_KEYS.encode())]
        before = await _kept_from(self._connection, policy, RUNS)
        if before is not None:
            found.append((Action(Kind.EXPIRE, RUNS, before), COUNT_RUNS.encode()))
        return found

    async def _do(self, action: Action) -> Action:
        match action.kind:
            case Kind.MAKE:
                return replace(action, rows=await partitions.add(self._connection, action.partition))
            case Kind.DROP:
                await partitions.drop(self._connection, action.partition)
            case Kind.ANALYZE:
                await partitions.analyze(self._connection, action.table)
            case Kind.CHECKPOINT:
                await self._checkpoint(self._connection, await self._first_id(action))
            case _:
                return replace(action, rows=await self._delete(action))
        return action

    async def _delete(self, action: Action) -> int:
        if action.kind is Kind.TRIM:
            return await partitions.trim(self._connection, action.table, action.partition.month)
        if action.kind is Kind.SWEEP:
            return await _each_tenant(self._connection, NEXT_WITH_KEYS, self._sweep)
        return await _each_tenant(self._connection, NEXT_WITH_RUNS, _Expiry(self._connection, action.month))

    async def _sweep(self, tenant: UUID) -> int:
        batch, total = {"tenant": tenant, "batch": KEYS_AT_ONCE}, 0
        while gone := (await self._connection.execute(DELETE_KEYS, batch)).rowcount:
            total += gone
        return total

    async def _first_id(self, action: Action) -> UUID:
        rows = await (await self._connection.execute(partitions.FIRST_ID, {"month": action.month})).fetchall()
        return UUID(str(rows[0]["id"]))


class _Expiry:
    """Deletes a tenant's old finished runs in batches, from old to new."""

    def __init__(self, connection: OwnerConnection, before: date | None) -> None:
        self._connection = connection
        self._before = before

    async def __call__(self, tenant: UUID) -> int:
        total, past = 0, UUID(int=0)
        while True:
            batch = {"tenant": tenant, "past": past, "before": self._before, "batch": RUNS_AT_ONCE}
            rows = await (await self._connection.execute(DELETE_RUNS.encode(), batch)).fetchall()
            if rows[0]["reached"] is None:
                return total
            total, past = total + rows[0]["rows"], rows[0]["reached"]


async def _each_tenant(
    connection: OwnerConnection, following: str, delete: Callable[[UUID], Awaitable[int]]
) -> int:
    total, past = 0, UUID(int=0)
    while row := await (await connection.execute(following.encode(), {"past": past})).fetchone():
        past = row["id"]
        total += await delete(past)
    return total


async def _of_partitions(connection: OwnerConnection, policy: Policy) -> list[Action]:
    """What there is to do about partitions, in order."""
    there = await partitions.listed(connection)
    lacking = await partitions.missing(connection, policy.ahead)
    last = (await partitions.months(connection, policy.ahead + 1))[-1]
    found: list[Action] = []
    for table in partitions.TABLES:
        kept_from = await _kept_from(connection, policy, table)
        strays = await partitions.strays(connection, table, last)
        old = [one for one in there if one.table == table and kept_from and one.month < kept_from]
        kept = {month: rows for month, rows in strays.items() if not kept_from or month >= kept_from}
        wanted = {one.month: 0 for one in lacking if one.table == table} | kept
        over = sum(strays.values()) - sum(kept.values())
        actions = [Action(Kind.MAKE, table, month, rows) for month, rows in sorted(wanted.items())]
        if table == AUDIT and (old or over):
            actions.append(Action(Kind.CHECKPOINT, table, kept_from))
        actions += [Action(Kind.DROP, table, one.month, bytes=one.bytes) for one in old]
        actions += [Action(Kind.TRIM, table, kept_from, over)] if over else []
        found += [*actions, Action(Kind.ANALYZE, table)] if actions else []
    return found


async def _kept_from(connection: OwnerConnection, policy: Policy, table: str) -> date | None:
    """The first month of a table that stays; None when all do."""
    keep = policy.months(table)
    if keep is None:
        return None
    this_month = (await partitions.months(connection, 0))[0]
    year, month = divmod(this_month.year * 12 + this_month.month - 1 - keep, 12)
    return date(max(year, 1), month + 1, 1)
