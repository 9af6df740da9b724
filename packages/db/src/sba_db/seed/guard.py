"""Whether a database is one for development, before made-up rows are put into it."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from typing import Final
from uuid import UUID

from sba_db.errors import NotForDevelopment
from sba_db.owner import OwnerConnection

DEVELOPMENT: Final = "development"
DECLARED: Final = "select nullif(current_setting('sba.environment', true), '') as environment"
SEALER: Final = "set local role sba_sealer"
AUDITED: Final = """
select exists (select from service.audit_seals s where s.tenant_id <> all (%(ours)s))
    or exists (select from service.audit_logs a where a.tenant_id <> all (%(ours)s)) as found
"""
FINISHED: Final = """
select exists (select from service.agent_runs r where r.tenant_id <> all (%(ours)s)) as found
"""


async def require_development(connection: OwnerConnection, ours: Sequence[UUID], *, force: bool) -> None:
    """Let pass a database that says it is for development, or looks like it, or anything else with `force`.

    A database says so with `alter database … set sba.environment = 'development'`; one that says anything
    else is never seeded. One that says nothing looks like it when its server is on this machine and there is
    no audit trail and no finished run of any tenant but ours.

    Raises:
        NotForDevelopment: It is none.
    """
    declared = await _value(connection, DECLARED, "environment")
    if declared == DEVELOPMENT:
        return
    if declared is not None:
        raise NotForDevelopment([f"its sba.environment is {declared!r}"], final=True)
    reasons = [] if force else await _reasons(connection, ours)
    if reasons:
        raise NotForDevelopment(reasons, final=False)


async def _reasons(connection: OwnerConnection, ours: Sequence[UUID]) -> list[str]:
    found = [] if is_local(connection.info.hostaddr) else ["its server is not on this machine"]
    return [*found, "it has rows of other tenants"] if await _has_others(connection, ours) else found


def is_local(address: str) -> bool:
    """Whether a server's address, empty for a socket file, is of this machine."""
    return not address or ipaddress.ip_address(address).is_loopback


async def _has_others(connection: OwnerConnection, ours: Sequence[UUID]) -> bool:
    bound = {"ours": list(ours)}
    if await _value(connection, FINISHED, "found", bound):
        return True
    async with connection.transaction():
        await connection.execute(SEALER)
        return bool(await _value(connection, AUDITED, "found", bound))


async def _value(
    connection: OwnerConnection, query: str, column: str, bound: dict[str, list[UUID]] | None = None
) -> object:
    return (await (await connection.execute(query.encode(), bound)).fetchall())[0][column]
