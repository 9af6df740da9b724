"""The rules that keep tenants apart, whatever the schema says of a table."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from sba_db.check.difference import Difference
from sba_db.owner import OwnerConnection

FENCE: Final = "(tenant_id = ( SELECT service.current_tenant() AS current_tenant))"
TENANT_TABLES: Final = """
select c.oid, c.relname as name, c.relispartition as partition, c.relrowsecurity as enabled,
       c.relforcerowsecurity as forced,
       coalesce((select array_agg(distinct g.grantee::regrole::text) from aclexplode(c.relacl) g
                 where g.grantee <> c.relowner), '{}') as grantees
from pg_class c
where c.relnamespace = to_regnamespace('service') and c.relkind in ('r', 'p')
  and exists (select from pg_attribute a
              where a.attrelid = c.oid and a.attname = 'tenant_id' and not a.attisdropped)
order by c.relname
"""
POLICIES: Final = """
select p.polrelid as oid, p.polname as name, p.polcmd as command, p.polroles = '{0}' as everyone,
       pg_get_expr(p.polqual, p.polrelid) as using, pg_get_expr(p.polwithcheck, p.polrelid) as checked
from pg_policy p
where p.polpermissive and exists (
    select from pg_roles r, unnest(p.polroles) bound
    where r.rolcanlogin and not r.rolsuper and not pg_has_role(r.oid, 'sba_owner', 'member')
      and case when bound = 0 then true else pg_has_role(r.oid, bound, 'member') end
)
"""


async def broken_rules(connection: OwnerConnection) -> list[Difference]:
    """Tables with a `tenant_id` whose rows a session could reach without being that tenant's.

    Each has row level security enabled and forced and one policy for everyone and every command, with nothing
    but the tenant's condition for reads and writes. Any other permissive policy holds the same condition,
    unless it is for a role that nobody but the owner's own logins can become, such as a function's owner. A
    partition without them is granted to nobody.
    """
    policies = await (await connection.execute(POLICIES.encode())).fetchall()
    tables = await (await connection.execute(TENANT_TABLES.encode())).fetchall()
    return [
        Difference(table["name"], problem)
        for table in tables
        for problem in _problems(table, [one for one in policies if one["oid"] == table["oid"]])
    ]


def _problems(table: dict[str, Any], policies: list[dict[str, Any]]) -> Iterator[str]:
    if table["partition"] and not table["enabled"]:
        if table["grantees"]:
            yield f"partition without row level security is granted to {', '.join(table['grantees'])}"
        return
    if not table["enabled"]:
        yield "row level security is not enabled"
    if not table["forced"]:
        yield "row level security is not forced"
    if not any(one["command"] == "*" and one["everyone"] and _fences(one) for one in policies):
        yield "has no policy that binds everyone to the tenant for every command"
    for policy in policies:
        if not _fences(policy):
            yield f"policy {policy['name']} lets through more than the tenant's rows"


def _fences(policy: dict[str, Any]) -> bool:
    return {policy["using"], policy["checked"]} <= {FENCE, None} and bool(
        policy["using"] or policy["checked"]
    )
