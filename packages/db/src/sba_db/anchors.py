"""Heads of audit chains, kept elsewhere: what proves that a chain was not cut or written anew."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from psycopg import IsolationLevel
from psycopg import errors as pg

from sba_db.errors import InvalidValue, UnsafeRole
from sba_db.owner import OwnerConnection, owner_connection

SEALER: Final = "sba_sealer"
HASH_BYTES: Final = 32
HEADS: Final = """
with recursive tenants as (
    (select tenant_id from service.audit_seals order by tenant_id limit 1)
    union all
    select (select s.tenant_id from service.audit_seals s
            where s.tenant_id > t.tenant_id order by s.tenant_id limit 1)
    from tenants t where t.tenant_id is not null
)
select t.tenant_id, head.position, head.hash
from tenants t cross join lateral (
    select s.position, s.hash from service.audit_seals s
    where s.tenant_id = t.tenant_id order by s.position desc limit 1
) head
"""


@dataclass(frozen=True, slots=True)
class Anchor:
    """The seal that a tenant's chain had at a position when it was looked at."""

    position: int
    hash: bytes


@asynccontextmanager
async def auditor_connection(url: str) -> AsyncIterator[OwnerConnection]:
    """A connection that reads the audit rows and seals of all tenants, a consistent view a transaction.

    Raises:
        UnsafeRole: The login may not act as `sba_sealer`.
        DatabaseError: As for `owner_connection`.
    """
    async with owner_connection(url) as connection:
        try:
            await connection.execute(f"set role {SEALER}")
        except (pg.InsufficientPrivilege, pg.InvalidParameterValue):
            raise UnsafeRole(connection.info.user, f"cannot act as {SEALER}") from None
        await connection.set_isolation_level(IsolationLevel.REPEATABLE_READ)
        await connection.set_read_only(True)
        yield connection


async def export_anchors(url: str) -> dict[UUID, Anchor]:
    """The head of each tenant's chain.

    Args:
        url: DSN of `sba_migrator`, on a direct connection.

    Raises:
        UnsafeRole: The login may not act as `sba_sealer`.
        DatabaseUnavailable: Postgres is not reachable.
    """
    async with auditor_connection(url) as connection:
        rows = await (await connection.execute(HEADS)).fetchall()
    return {row["tenant_id"]: Anchor(row["position"], row["hash"]) for row in rows}


def to_json(anchors: Mapping[UUID, Anchor]) -> str:
    """`{tenant: {"position": …, "hash": hexadecimal}}`, in the order of the tenants."""
    heads = {
        str(tenant): {"position": anchor.position, "hash": anchor.hash.hex()}
        for tenant, anchor in sorted(anchors.items())
    }
    return json.dumps(heads, indent=2)


def from_json(text: str) -> dict[UUID, Anchor]:
    """What `to_json` wrote.

    Raises:
        InvalidValue: It did not write this.
    """
    try:
        return {UUID(tenant): _anchor(head) for tenant, head in json.loads(text).items()}
    except (ValueError, TypeError, KeyError, AttributeError):
        raise InvalidValue("not what sba-db export-anchor writes", field="anchor") from None


def _anchor(head: Mapping[str, object]) -> Anchor:
    position, digest = head["position"], bytes.fromhex(str(head["hash"]))
    if (
        not isinstance(position, int)
        or isinstance(position, bool)
        or position < 1
        or len(digest) != HASH_BYTES
    ):
        raise ValueError
    return Anchor(position, digest)
