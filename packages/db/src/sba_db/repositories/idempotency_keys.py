"""Idempotency keys: a request is carried out once, and answered the same for as long as its key is kept."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, LiteralString

from sba_db import payloads
from sba_db.errors import IdempotencyConflict, InvalidValue, TransactionConflict
from sba_db.method import repository_method
from sba_db.models import Json
from sba_db.sessions import WriteSession

KEEP_SECONDS: Final = 24 * 3600
LONGEST_KEY: Final = 255

CLAIM: Final[LiteralString] = """
insert into service.idempotency_keys as k (tenant_id, operation, key, request_hash, expires_at)
values (%(tenant)s, %(operation)s, %(key)s, %(hash)s, now() + make_interval(secs => %(keep)s))
on conflict (tenant_id, operation, key) do update
    set request_hash = excluded.request_hash, resource_id = null, outcome = null, created_at = now(),
        expires_at = excluded.expires_at
    where k.expires_at <= now()
returning 1 as claimed
"""
REMEMBER: Final[LiteralString] = """
update service.idempotency_keys k set outcome = %(outcome)s::jsonb
where k.tenant_id = %(tenant)s and k.operation = %(operation)s and k.key = %(key)s
returning k.outcome
"""
RECALL: Final[LiteralString] = """
select k.request_hash, k.outcome from service.idempotency_keys k
where k.tenant_id = %(tenant)s and k.operation = %(operation)s and k.key = %(key)s
"""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a request came to.

    Attributes:
        value: JSON, as it was stored.
        replayed: Whether an earlier request of the same key came to it.
    """

    value: Json
    replayed: bool


@repository_method
async def once(
    session: WriteSession,
    *,
    operation: str,
    key: str,
    request: Json,
    work: Callable[[], Awaitable[Json]],
    keep_seconds: float = KEEP_SECONDS,
) -> Outcome:
    """Carry `work` out under a key, or answer what it came to before.

    The key, what `work` writes through this session, and its outcome are one transaction. A concurrent
    duplicate waits for it, then answers the same; when `work` raises, the key is free again.

    Args:
        session: The transaction that `work` writes in.
        operation: What is asked for, up to 100 bytes; keys of different operations are different.
        key: The caller's, 1 to 255 bytes.
        request: JSON that says what is asked; its keys' order does not matter.
        work: Answers JSON of up to 256 KiB.
        keep_seconds: How long the key is kept.

    Raises:
        IdempotencyConflict: The key was used for another request.
        PayloadTooLarge: A field over its limit.
        InvalidValue: A field that cannot be stored.
    """
    named: dict[str, object] = {
        "operation": payloads.text("operation", operation, limit=payloads.WORD),
        "key": payloads.text("idempotency_key", key, limit=LONGEST_KEY),
    }
    digest = _digest(request)
    claimed = await session.fetch_one(CLAIM, named | {"hash": digest, "keep": _keep(keep_seconds)})
    if claimed is None:
        return await _recalled(session, named, operation, digest)
    document = payloads.document("outcome", await work(), limit=payloads.DOCUMENT)
    stored = await session.fetch_one(REMEMBER, named | {"outcome": document})
    if stored is None:
        raise TransactionConflict("the idempotency key was swept meanwhile")
    return Outcome(stored["outcome"], replayed=False)


async def _recalled(session: WriteSession, named: dict[str, object], operation: str, digest: str) -> Outcome:
    row = await session.fetch_one(RECALL, named)
    if row is None:
        raise TransactionConflict("the idempotency key was swept meanwhile")
    if row["request_hash"] != digest:
        raise IdempotencyConflict(operation)
    return Outcome(row["outcome"], replayed=True)


def _digest(request: Json) -> str:
    document = payloads.document("request", request, limit=payloads.DOCUMENT)
    return hashlib.sha256(payloads.canonical(document).encode()).hexdigest()


def _keep(seconds: float) -> float:
    if not 0 < seconds <= 30 * KEEP_SECONDS:
        raise InvalidValue("must be more than 0 and at most 30 days", field="keep_seconds")
    return seconds
