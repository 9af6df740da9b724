"""What a partition has, or lacks, that its table does not say."""

from __future__ import annotations

from typing import Final

from sba_db.check.difference import Difference
from sba_db.owner import OwnerConnection

OWN: Final = """
with parts as (
    select c.* from pg_class c where c.relnamespace = to_regnamespace('service') and c.relispartition
)
select p.relname::text as place, 'partition is granted to ' || string_agg(
           distinct case g.grantee when 0 then 'public' else g.grantee::regrole::text end, ', ') as problem
from parts p, aclexplode(p.relacl) g
where g.grantee <> p.relowner and p.relrowsecurity and p.relkind in ('r', 'p') group by p.oid, p.relname
union all
select p.relname, 'partition is unlogged: a crash empties it' from parts p
where p.relpersistence <> 'p' and p.relkind in ('r', 'p')
union all
select p.relname, 'partition has the check ' || k.conname || ' of its own'
from parts p join pg_constraint k on k.conrelid = p.oid and k.contype = 'c' and k.coninhcount = 0
union all
select p.relname, 'partition has the rule ' || w.rulename || ' of its own'
from parts p join pg_rewrite w on w.ev_class = p.oid
union all
select p.relname, 'partition has the trigger ' || t.tgname || ' of its own'
from parts p join pg_trigger t on t.tgrelid = p.oid and not t.tgisinternal and t.tgparentid = 0
union all
select distinct p.relname, 'partition has switched off '
       || coalesce('the reference ' || k.conname, 'the trigger ' || t.tgname)
from parts p join pg_trigger t on t.tgrelid = p.oid and t.tgenabled <> 'O'
left join pg_constraint k on k.oid = t.tgconstraint
union all
select p.relname, 'partition is owned by ' || p.relowner::regrole::text
from parts p join pg_inherits i on i.inhrelid = p.oid join pg_class whole on whole.oid = i.inhparent
where p.relowner <> whole.relowner
order by 1, 2
"""


async def on_their_own(connection: OwnerConnection) -> list[Difference]:
    """Where a partition does not simply follow its table, whoever made it so."""
    rows = await (await connection.execute(OWN.encode())).fetchall()
    return [Difference(row["place"], row["problem"]) for row in rows]
