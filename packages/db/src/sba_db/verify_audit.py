"""Recomputes the audit chains and says what does not fit."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final
from uuid import UUID

from sba_db.anchors import Anchor, auditor_connection
from sba_db.owner import OwnerConnection
from sba_db.seals import FIRST, link, row_hash

TENANTS: Final = """
select tenant_id from service.audit_seals union select tenant_id from service.audit_logs
union select tenant_id from service.audit_checkpoints union select tenant_id from service.audit_pending
order by 1
"""
CHECKPOINTS: Final = """
select before_id, position, hash from service.audit_checkpoints
where tenant_id = %(tenant)s order by before_id
"""
CHAIN: Final = """
select s.position, s.audit_id, s.row_hash, s.hash,
       (extract(epoch from s.sealed_at) * 1000000)::bigint as sealed_at,
       case when a.id is not null then array[
           a.tenant_id::text, a.id::text, a.actor_id::text, a.action, a.resource_type, a.resource_id,
           a.before::text, a.after::text, a.request_id,
           trunc(extract(epoch from a.created_at) * 1000000)::text
       ] end as fields
from service.audit_seals s
left join service.audit_logs a on a.tenant_id = s.tenant_id and a.id = s.audit_id
where s.tenant_id = %(tenant)s order by s.position
"""
UNSEALED: Final = """
select a.id from service.audit_logs a
where a.tenant_id = %(tenant)s
  and not exists (
      select from service.audit_seals s where s.tenant_id = %(tenant)s and s.audit_id = a.id
  )
  and not exists (
      select from service.audit_pending p where p.tenant_id = %(tenant)s and p.audit_id = a.id
  )
order by a.id
"""
WAITING: Final = "select count(*) as rows from service.audit_pending where tenant_id = %(tenant)s"
NO_ANCHORS: Final[Mapping[UUID, Anchor]] = MappingProxyType({})
AT_A_TIME: Final = 1000


class Kind(StrEnum):
    """What is wrong at a position.

    Attributes:
        CHANGED: The row is not the one that was sealed.
        DELETED: The row is gone, and no checkpoint says that it may be.
        UNSEALED: A row that no seal covers, and that does not wait for one.
        BROKEN: The seal does not follow from the one before: it was changed, moved or put in.
        MISSING_SEAL: There is no seal, though there is one behind.
        CHECKPOINT: The chain is not the one that a checkpoint saw.
        TRUNCATED: The chain ends before a position that an anchor or a checkpoint saw.
        REWRITTEN: The chain is not the one that the anchor saw.
    """

    CHANGED = "changed"
    DELETED = "deleted"
    UNSEALED = "unsealed"
    BROKEN = "broken"
    MISSING_SEAL = "missing_seal"
    CHECKPOINT = "checkpoint"
    TRUNCATED = "truncated"
    REWRITTEN = "rewritten"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that does not fit.

    Attributes:
        tenant_id: Whose chain.
        kind: What is wrong.
        position: Where in the chain; None for a row that has no place in it.
        audit_id: Which row, where there is or was one.
    """

    tenant_id: UUID
    kind: Kind
    position: int | None
    audit_id: UUID | None = None

    def __str__(self) -> str:
        """One line for a person."""
        position = "-" if self.position is None else self.position
        return f"{self.tenant_id} {position} {self.kind}{f' {self.audit_id}' if self.audit_id else ''}"


@dataclass(frozen=True, slots=True)
class Verified:
    """What was looked at, and how much of it did not fit."""

    tenants: int = 0
    seals: int = 0
    waiting: int = 0
    findings: int = 0


async def verify_audit(
    url: str,
    on_finding: Callable[[Finding], None],
    *,
    tenant: UUID | None = None,
    anchors: Mapping[UUID, Anchor] = NO_ANCHORS,
) -> Verified:
    """Recompute the chains of all tenants, or of one; each in a consistent view, while others write.

    Without an anchor from before, a chain that was cut at its end or computed anew looks right: whoever can
    write everything can also write a chain that fits.

    Args:
        url: DSN of `sba_migrator`, on a direct connection.
        on_finding: Told of each thing that does not fit, tenant by tenant.
        tenant: Whose chain; None for all.
        anchors: Heads exported before; those of other tenants than `tenant` are left aside.

    Raises:
        UnsafeRole: The login may not act as `sba_sealer`.
        DatabaseUnavailable: Postgres is not reachable.
    """
    seals = waiting = found = 0
    async with auditor_connection(url) as connection:
        tenants = [tenant] if tenant else await _tenants(connection, anchors)
        for one in tenants:
            chain = _Chain(one, anchors.get(one))
            async with connection.transaction():
                async for finding in _verified(connection, chain):
                    on_finding(finding)
                    found += 1
                waiting += await _waiting(connection, one)
            seals += chain.seals
    return Verified(len(tenants), seals, waiting, found)


async def _tenants(connection: OwnerConnection, anchors: Mapping[UUID, Anchor]) -> list[UUID]:
    rows = await (await connection.execute(TENANTS)).fetchall()
    return sorted({row["tenant_id"] for row in rows} | anchors.keys())


async def _waiting(connection: OwnerConnection, tenant: UUID) -> int:
    rows = await (await connection.execute(WAITING, {"tenant": tenant})).fetchall()
    return int(rows[0]["rows"])


class _Chain:
    """A walk along one tenant's seals."""

    def __init__(self, tenant: UUID, anchor: Anchor | None) -> None:
        self.tenant = tenant
        self.seals = 0
        self._anchor = anchor
        self._at = 0
        self._hash = FIRST
        self._kept_from = UUID(int=0)
        self._checkpoints: list[tuple[int, bytes]] = []

    def expect(self, checkpoints: list[dict[str, Any]]) -> Iterator[Finding]:
        """What retention wrote down: what the chain must go through, and which rows may be gone."""
        for one in checkpoints:
            self._kept_from = one["before_id"]
            self._checkpoints.append((one["position"], one["hash"]))
            if one["position"] == 0 and one["hash"] != FIRST:
                yield self._finding(Kind.CHECKPOINT, 0)

    def step(self, seal: dict[str, Any]) -> Iterator[Finding]:
        """One seal, with the fields of its row if that is there."""
        position, audit_id = seal["position"], seal["audit_id"]
        if position != self._at + 1:
            yield self._finding(Kind.MISSING_SEAL, self._at + 1)
        elif seal["hash"] != link(self._hash, position, seal["sealed_at"], audit_id, seal["row_hash"]):
            yield self._finding(Kind.BROKEN, position, audit_id)
        yield from self._row(seal)
        yield from self._witnesses(position, seal["hash"])
        self._at, self._hash = position, seal["hash"]
        self.seals += 1

    def end(self) -> Iterator[Finding]:
        """The chain has no more seals."""
        seen = [position for position, _ in self._checkpoints]
        if self._anchor is not None:
            seen.append(self._anchor.position)
        if max(seen, default=0) > self._at:
            yield self._finding(Kind.TRUNCATED, self._at + 1)

    def _row(self, seal: dict[str, Any]) -> Iterator[Finding]:
        fields, sealed = seal["fields"], seal["row_hash"]
        if fields is None:
            if seal["audit_id"] >= self._kept_from:
                yield self._finding(Kind.DELETED, seal["position"], seal["audit_id"])
        elif row_hash(fields) != sealed:
            yield self._finding(Kind.CHANGED, seal["position"], seal["audit_id"])

    def _witnesses(self, position: int, digest: bytes) -> Iterator[Finding]:
        if any(at == position and seen != digest for at, seen in self._checkpoints):
            yield self._finding(Kind.CHECKPOINT, position)
        if self._anchor is not None and self._anchor.position == position and self._anchor.hash != digest:
            yield self._finding(Kind.REWRITTEN, position)

    def _finding(self, kind: Kind, position: int, audit_id: UUID | None = None) -> Finding:
        return Finding(self.tenant, kind, position, audit_id)


async def _verified(connection: OwnerConnection, chain: _Chain) -> AsyncIterator[Finding]:
    which = {"tenant": chain.tenant}
    for finding in chain.expect(await (await connection.execute(CHECKPOINTS, which)).fetchall()):
        yield finding
    async with connection.cursor("chain") as seals:
        seals.itersize = AT_A_TIME
        async for seal in await seals.execute(CHAIN, which):
            for finding in chain.step(seal):
                yield finding
    for finding in chain.end():
        yield finding
    async with connection.cursor("unsealed") as rows:
        async for row in await rows.execute(UNSEALED, which):
            yield Finding(chain.tenant, Kind.UNSEALED, None, row["id"])
