"""Audit rows become links of their tenant's hash chain: the sealer, checkpoints, and what is hashed.

A seal's `hash` is SHA-256 of the hash before (32 zero bytes at first), the position and the sealing time in
microseconds (8 bytes each, big-endian), the row's id (16 bytes) and the row's own digest. That digest is
SHA-256 of `FORMAT` and the row's fields as text, each behind its length. JSON is in Postgres's own text form
of jsonb and times are in microseconds since 1970, so that no setting of a session changes what is hashed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Final, LiteralString, Protocol
from uuid import UUID

from sba_db.owner import OwnerConnection
from sba_telemetry import tally

FORMAT: Final = b"sba.audit.1"
FIRST: Final = bytes(32)

SEAL: Final[LiteralString] = """
select taken, reached, more
from service.seal_audit(%(past)s::uuid, %(most)s::integer, %(most_each)s::integer)
"""
CHECKPOINT: Final[LiteralString] = "select service.checkpoint_audit(%(before)s::uuid) as written"

_sealed = tally(
    "sba.db.audit.sealed", description="Audit rows taken from the queue into their chains."
).cell()


class Ask(Protocol):
    """Runs one statement in a transaction of its own and answers its only row."""

    async def __call__(self, query: LiteralString, **params: Any) -> Mapping[str, Any]:  # noqa: ANN401 - bound values
        """The row by column."""
        ...


async def seal(ask: Ask, *, most: int = 1000, most_each: int = 200) -> int:
    """Give every audit row that is committed and waits the next position of its tenant's chain.

    Batches go round the tenants, so that none waits for another's backlog. If another sealer is at work, it
    is left to it. The call may be cancelled or killed at any time; the next one goes on.

    Args:
        ask: As a login that may execute `service.seal_audit`, such as `sba_worker`.
        most: About how many rows a batch takes; each batch is one transaction.
        most_each: How many rows of one tenant a batch takes.

    Returns:
        How many rows have left the queue.
    """
    total = 0
    past: UUID | None = None
    more = False
    while True:
        batch = await ask(SEAL, past=past, most=most, most_each=most_each)
        taken: int | None = batch["taken"]
        if taken is None:
            return total
        total += taken
        _sealed.count += taken
        past, more = batch["reached"], more or batch["more"]
        if past is None and not more:
            return total
        more = more and past is not None


async def checkpoint(connection: OwnerConnection, before: UUID) -> None:
    """Write down up to where each chain may miss its rows, before those older than an id are dropped.

    What of them still waits is sealed first. Afterwards `verify_audit` accepts that rows with smaller ids are
    gone, and no others.

    Args:
        connection: As `sba_owner`; inside a transaction the sealer waits for its end.
        before: The first id, of version 7, that stays.

    Raises:
        DatabaseError: Through `owner_connection`: the sealer was not done within the lock timeout.
    """

    async def ask(query: LiteralString, **params: Any) -> Mapping[str, Any]:  # noqa: ANN401 - bound values
        (row,) = await (await connection.execute(query, params)).fetchall()
        return row

    await seal(ask)
    await ask(CHECKPOINT, before=before)


def row_hash(fields: Sequence[str | None]) -> bytes:
    """The digest of an audit row.

    Args:
        fields: Its columns as text in the order of the table, `created_at` in microseconds since 1970.
    """
    return hashlib.sha256(FORMAT + b"".join(map(_field, fields))).digest()


def link(previous: bytes, position: int, sealed_at: int, audit_id: UUID, row: bytes | None) -> bytes:
    """The hash of a seal.

    Args:
        previous: The hash of the position before, or `FIRST`.
        position: From 1.
        sealed_at: Microseconds since 1970.
        audit_id: The row.
        row: Its digest, or None if it was gone when it was sealed.
    """
    numbers = position.to_bytes(8, "big") + sealed_at.to_bytes(8, "big", signed=True)
    return hashlib.sha256(previous + numbers + audit_id.bytes + (row or b"")).digest()


def _field(value: str | None) -> bytes:
    if value is None:
        return b"-"
    text = value.encode()
    return b"%d:%b" % (len(text), text)
