"""What the logins may do beyond what migrations grant them, and views that lend them their owner's eyes."""

from __future__ import annotations

from typing import Final

from sba_db.check.difference import Difference
from sba_db.owner import OwnerConnection
from sba_db.powers import POWERS, ROLE_NAMED

LOGINS: Final = ("sba_app", "sba_worker")
VIEWS: Final = """
select distinct v.relnamespace::regnamespace::text || '.' || v.relname as place
from pg_depend d
join pg_rewrite w on w.oid = d.objid and d.classid = 'pg_rewrite'::regclass
join pg_class v on v.oid = w.ev_class and v.relkind in ('v', 'm')
join pg_class c on c.oid = d.refobjid and d.refclassid = 'pg_class'::regclass
where c.relnamespace = to_regnamespace('service') and c.relkind in ('r', 'p')
  and not coalesce(v.reloptions && array['security_invoker=true', 'security_invoker=on'], false)
order by 1
"""


async def beyond_their_grants(connection: OwnerConnection) -> list[Difference]:
    """Powers that make a session refuse to serve, and views that do not look with their caller's rights."""
    found = [difference for login in LOGINS for difference in await _powers(connection, login)]
    views = await (await connection.execute(VIEWS.encode())).fetchall()
    return found + [Difference(view["place"], "view reads tables with its owner's rights") for view in views]


async def _powers(connection: OwnerConnection, login: str) -> list[Difference]:
    rows = await (await connection.execute(ROLE_NAMED, {"login": login})).fetchall()
    return [Difference(login, words) for row in rows for power, words in POWERS.items() if row[power]]
