"""Runs: created once, claimed under a lease, finished once."""
# ruff: noqa: S608 - composed of this module's own constants; values are always bound

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Final, LiteralString
from uuid import UUID

from sba_db import cursors, payloads
from sba_db.errors import (
    IdempotencyConflict,
    InvalidTransition,
    InvalidValue,
    LeaseHeld,
    LeaseLost,
    RunNotFound,
    TransactionConflict,
)
from sba_db.ids import new_id
from sba_db.method import repository_method
from sba_db.models import AgentRun, CreatedRun, Json, Lease, Page, RunStatus
from sba_db.moments import greatest_id, least_id, moment
from sba_db.plans import Row
from sba_db.sessions import ReadSession, WriteSession

CREATE_OPERATION: Final = "agent_runs.create"
KEEP_KEYS_SECONDS: Final = 24 * 3600
LIST_KIND: Final = "run"
MOST_LISTED: Final = 200

COLUMNS: Final[LiteralString] = """
    r.tenant_id, r.id, r.user_id, r.status, r.prompt, r.options, r.result, r.error, r.attempt, r.lease_token,
    r.lease_holder, r.lease_expires_at, r.step_seq, r.event_seq, r.duration_ms, r.created_at, r.started_at,
    r.finished_at
"""
_INSERT: Final[LiteralString] = """
created as (
    insert into service.agent_runs as r (tenant_id, id, user_id, prompt, options, event_seq)
    select %(tenant)s, %(id)s, %(user_id)s, %(prompt)s, %(options)s::jsonb, 1 from allowed
    returning r.*
), event as (
    insert into service.run_events (tenant_id, run_id, seq, type, data)
    select tenant_id, id, 1, 'run.queued', '{}'::jsonb from created
)
"""
CREATE: Final[LiteralString] = f"with allowed as (select 1), {_INSERT} select {COLUMNS} from created r"
CREATE_ONCE: Final[LiteralString] = f"""
with allowed as (
    insert into service.idempotency_keys as k
        (tenant_id, operation, key, request_hash, resource_id, expires_at)
    values (%(tenant)s, %(operation)s, %(key)s, %(hash)s, %(id)s, now() + make_interval(secs => %(keep)s))
    on conflict (tenant_id, operation, key) do update
        set request_hash = excluded.request_hash, resource_id = excluded.resource_id,
            created_at = now(), expires_at = excluded.expires_at
        where k.expires_at <= now()
    returning 1
), {_INSERT}
select {COLUMNS} from created r
"""
REPLAY: Final[LiteralString] = f"""
select k.request_hash, {COLUMNS}
from service.idempotency_keys k
join service.agent_runs r on r.tenant_id = k.tenant_id and r.id = k.resource_id
where k.tenant_id = %(tenant)s and k.operation = %(operation)s and k.key = %(key)s
"""
GET: Final[LiteralString] = f"""
select {COLUMNS} from service.agent_runs r where r.tenant_id = %(tenant)s and r.id = %(id)s
"""
# Constants, no parameter: only from a constant does the planner prove that the status's own index will do.
_OF_STATUS: Final[Mapping[str, LiteralString]] = MappingProxyType(
    {
        RunStatus.QUEUED: "and r.status = 'queued'",
        RunStatus.RUNNING: "and r.status = 'running'",
        RunStatus.SUCCEEDED: "and r.status = 'succeeded'",
        RunStatus.FAILED: "and r.status = 'failed'",
        RunStatus.CANCELLED: "and r.status = 'cancelled'",
    }
)
_OF_USER: Final[LiteralString] = "and r.user_id = %(user_id)s"
_CREATED: Final[LiteralString] = """
  and r.id >= %(least)s and r.created_at >= coalesce(%(since)s::timestamptz, '-infinity')
  and r.created_at < coalesce(%(until)s::timestamptz, 'infinity')
"""
CLAIM: Final[LiteralString] = """
update service.agent_runs r
set status = 'running', attempt = r.attempt + 1, lease_token = r.lease_token + 1, lease_holder = %(holder)s,
    lease_expires_at = clock_timestamp() + make_interval(secs => %(ttl)s),
    started_at = coalesce(r.started_at, clock_timestamp())
where r.tenant_id = %(tenant)s and r.id = %(id)s
  and (r.status = 'queued' or (r.status = 'running' and r.lease_expires_at <= clock_timestamp()))
returning r.lease_token, r.attempt
"""
STANDING: Final[LiteralString] = """
select r.status, greatest(0, extract(epoch from r.lease_expires_at - clock_timestamp()))::float8 as remaining
from service.agent_runs r where r.tenant_id = %(tenant)s and r.id = %(id)s
"""
HELD: Final[LiteralString] = """
    r.tenant_id = %(tenant)s and r.id = %(run_id)s and r.status = 'running' and r.lease_token = %(token)s
"""
HEARTBEAT: Final[LiteralString] = f"""
update service.agent_runs r set lease_expires_at = clock_timestamp() + make_interval(secs => %(ttl)s)
where {HELD}
"""
FINISH: Final[LiteralString] = f"""
update service.agent_runs r
set status = %(status)s::service.run_status, result = %(result)s::jsonb, error = %(error)s::jsonb,
    duration_ms = %(duration_ms)s, lease_holder = null, lease_expires_at = null,
    finished_at = clock_timestamp()
where {HELD}
returning {COLUMNS}
"""
CANCEL: Final[LiteralString] = f"""
update service.agent_runs r
set status = 'cancelled', lease_token = r.lease_token + 1, lease_holder = null, lease_expires_at = null,
    finished_at = clock_timestamp()
where r.tenant_id = %(tenant)s and r.id = %(id)s and r.status in ('queued', 'running')
returning {COLUMNS}
"""


@repository_method
async def create_run(
    session: WriteSession,
    *,
    user_id: UUID,
    prompt: str,
    options: Mapping[str, Json] | None = None,
    idempotency_key: str | None = None,
) -> CreatedRun:
    """Store a queued run and its first event, `run.queued`.

    Args:
        session: The transaction to store them in.
        user_id: Who asks.
        prompt: 1 byte to 32 KiB.
        options: A JSON object of up to 16 KiB.
        idempotency_key: Up to 255 bytes; for a day, the same key with the same prompt and options answers the
            run it made, `replayed`, whoever of the tenant asks. A concurrent duplicate waits for the first.

    Raises:
        IdempotencyConflict: The key was used for another request.
        PayloadTooLarge: A field over its limit.
        InvalidValue: A field that cannot be stored.
    """
    document = payloads.mapping("options", options, limit=payloads.OPTIONS)
    params: dict[str, object] = {
        "id": new_id(),
        "user_id": user_id,
        "prompt": payloads.text("prompt", prompt, limit=payloads.PROMPT),
        "options": document,
    }
    if idempotency_key is None:
        return _created(await session.fetch_one(CREATE, params), replayed=False)
    key = payloads.text("idempotency_key", idempotency_key, limit=255)
    digest = _request_hash(prompt, payloads.canonical(document))
    once = {"operation": CREATE_OPERATION, "key": key, "hash": digest, "keep": KEEP_KEYS_SECONDS}
    row = await session.fetch_one(CREATE_ONCE, params | once)
    return _created(row, replayed=False) if row else await _replay(session, key, digest)


@repository_method
async def get_run(reader: ReadSession, run_id: UUID) -> AgentRun | None:
    """The run, or None if the tenant has no such run."""
    row = await reader.fetch_one(GET, {"id": run_id})
    return to_run(row) if row else None


@repository_method
async def list_runs(
    reader: ReadSession,
    *,
    status: RunStatus | str | None = None,
    user_id: UUID | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    limit: int = 50,
    cursor: str | None = None,
) -> Page[AgentRun]:
    """The tenant's runs from new to old.

    Args:
        reader: The session to read with.
        status: Only runs with this status.
        user_id: Only runs this user asked for.
        since: Only runs created at or after this.
        until: Only runs created before this.
        limit: Runs a page, 1 to 200.
        cursor: The `next_cursor` of the page before; it goes with any filters.

    Raises:
        InvalidCursor: Not a cursor of this list.
        InvalidValue: The limit is out of range, there is no such status, or a time has no zone.
    """
    size = payloads.page_size(limit, most=MOST_LISTED)
    before = min(cursors.decode(LIST_KIND, cursor), greatest_id(moment("until", until)))
    params: dict[str, object] = {"before": before, "limit": size + 1}
    only = None if status is None else payloads.choice("status", status, RunStatus)
    if user_id is not None:
        params["user_id"] = user_id
    if since is not None or until is not None:
        params |= {"least": least_id(moment("since", since)), "since": since, "until": until}
    rows = await reader.fetch_all(_listing(params, only), params)
    more = cursors.encode(LIST_KIND, rows[size - 1]["id"]) if len(rows) > size else None
    return Page(tuple(to_run(row) for row in rows[:size]), more)


@repository_method
async def claim_run(session: WriteSession, *, run_id: UUID, holder: str, ttl_seconds: float) -> Lease:
    """Take the right to write to a queued run, or to one whose lease has run out.

    Every claim raises the run's token, so that nothing of an earlier claim can be written any more.

    Args:
        session: The transaction to claim in; the lease holds once it commits.
        run_id: Which run.
        holder: Who takes it, up to 200 bytes.
        ttl_seconds: How long the lease lasts without a heartbeat.

    Raises:
        RunNotFound: The tenant has no such run.
        InvalidTransition: It has finished.
        LeaseHeld: Another lease is live.
    """
    who = payloads.text("holder", holder, limit=payloads.NAME)
    params = {"id": run_id, "holder": who, "ttl": _ttl(ttl_seconds)}
    row = await session.fetch_one(CLAIM, params)
    if row is None:
        raise await _claim_refusal(session, run_id)
    return Lease(run_id, session.tenant_id, row["lease_token"], holder, row["attempt"])


@repository_method
async def heartbeat(session: WriteSession, *, lease: Lease, ttl_seconds: float) -> None:
    """Let the lease last `ttl_seconds` from now.

    Raises:
        LeaseLost: The run was taken over, cancelled or finished.
    """
    if await session.execute(HEARTBEAT, {"ttl": _ttl(ttl_seconds), **held_by(lease)}) == 0:
        raise LeaseLost(lease.run_id)


@repository_method
async def complete_run(session: WriteSession, *, lease: Lease, result: Json, duration_ms: int) -> AgentRun:
    """End the run as succeeded, with a JSON result of up to 256 KiB.

    Raises:
        LeaseLost: The run was taken over, cancelled or finished; nothing was written.
        PayloadTooLarge: The result is over its limit.
    """
    document = payloads.document("result", result, limit=payloads.DOCUMENT)
    return await _finish(
        session, lease, {"status": "succeeded", "result": document, "error": None, "duration_ms": duration_ms}
    )


@repository_method
async def fail_run(
    session: WriteSession, *, lease: Lease, error: Mapping[str, Json], duration_ms: int
) -> AgentRun:
    """End the run as failed, with an error such as `{"code": …, "message": …}` of up to 16 KiB.

    Raises:
        LeaseLost: The run was taken over, cancelled or finished; nothing was written.
        PayloadTooLarge: The error is over its limit.
    """
    document = payloads.mapping("error", error, limit=payloads.ERROR)
    return await _finish(
        session, lease, {"status": "failed", "result": None, "error": document, "duration_ms": duration_ms}
    )


@repository_method
async def cancel_run(session: WriteSession, *, run_id: UUID) -> AgentRun:
    """End a queued or running run as cancelled; its worker's lease is lost. Cancelling twice is no error.

    Raises:
        RunNotFound: The tenant has no such run.
        InvalidTransition: It has succeeded or failed.
    """
    row = await session.fetch_one(CANCEL, {"id": run_id}) or await session.fetch_one(GET, {"id": run_id})
    if row is None:
        raise RunNotFound(run_id)
    run = to_run(row)
    if run.status is not RunStatus.CANCELLED:
        raise InvalidTransition(run_id, status=run.status, action="cancel")
    return run


def held_by(lease: Lease) -> dict[str, object]:
    """What `HELD` binds."""
    return {"run_id": lease.run_id, "token": lease.token}


def to_run(row: Row) -> AgentRun:
    """The run that a row of `COLUMNS` is."""
    return AgentRun(**{**row, "status": RunStatus(row["status"])})


def _listing(params: Mapping[str, object], status: str | None = None) -> LiteralString:
    of_status = _OF_STATUS[status] if status else ""
    of_user = _OF_USER if "user_id" in params else ""
    created = _CREATED if "least" in params else ""
    return f"""
select {COLUMNS} from service.agent_runs r
where r.tenant_id = %(tenant)s and r.id < %(before)s {of_status} {of_user} {created}
order by r.id desc limit %(limit)s
"""


def _created(row: Row | None, *, replayed: bool) -> CreatedRun:
    if row is None:
        raise TransactionConflict("the run was not stored")
    return CreatedRun(**{**row, "status": RunStatus(row["status"]), "replayed": replayed})


async def _replay(session: WriteSession, key: str, digest: str) -> CreatedRun:
    row = await session.fetch_one(REPLAY, {"operation": CREATE_OPERATION, "key": key})
    if row is None:
        raise TransactionConflict("the idempotency key expired meanwhile")
    if row.pop("request_hash") != digest:
        raise IdempotencyConflict(CREATE_OPERATION)
    return _created(row, replayed=True)


def _request_hash(prompt: str, options: str) -> str:
    return hashlib.sha256(f"{prompt}\0{options}".encode()).hexdigest()


def _ttl(seconds: float) -> float:
    if not 0 < seconds <= KEEP_KEYS_SECONDS:
        raise InvalidValue("must be more than 0 and at most a day", field="ttl_seconds")
    return seconds


async def _claim_refusal(session: WriteSession, run_id: UUID) -> Exception:
    row = await session.fetch_one(STANDING, {"id": run_id})
    if row is None:
        return RunNotFound(run_id)
    if RunStatus(row["status"]).finished:
        return InvalidTransition(run_id, status=row["status"], action="claim")
    return LeaseHeld(run_id, retry_after=row["remaining"] or 0.0)


async def _finish(session: WriteSession, lease: Lease, params: dict[str, object]) -> AgentRun:
    row = await session.fetch_one(FINISH, params | held_by(lease))
    if row is None:
        raise LeaseLost(lease.run_id)
    return to_run(row)
