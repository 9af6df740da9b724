"""What Prisma has no words for: checks, policies, triggers, functions, views, grants, owners."""

from __future__ import annotations

from typing import Final

from sba_db.check.difference import Difference
from sba_db.owner import OwnerConnection

OBJECTS: Final = """
with ours as (
    select c.* from pg_class c
    where c.relnamespace = to_regnamespace('service') and not c.relispartition
      and c.relname <> '_prisma_migrations'
), functions as (
    select p.*, p.proname || '(' || pg_get_function_identity_arguments(p.oid) || ')' as signature
    from pg_proc p where p.pronamespace = to_regnamespace('service')
), grants as (
    select c.relname::text as place, c.relowner as owner, g.* from ours c, aclexplode(c.relacl) g
    union all
    select f.signature, f.proowner, g.* from functions f,
        aclexplode(coalesce(f.proacl, acldefault('f', f.proowner))) g
    union all
    select 'schema service', n.nspowner, g.* from pg_namespace n, aclexplode(n.nspacl) g
    where n.oid = to_regnamespace('service')
    union all
    select c.relname || '.' || a.attname, c.relowner, g.*
    from ours c join pg_attribute a on a.attrelid = c.oid, aclexplode(a.attacl) g
)
select c.relname::text as place, 'check ' || k.conname as what, pg_get_constraintdef(k.oid) as definition
from ours c join pg_constraint k on k.conrelid = c.oid and k.contype in ('c', 'x')
union all
select c.relname, 'policy ' || p.polname, concat_ws(' ',
    case when p.polpermissive then 'permissive' else 'restrictive' end, p.polcmd,
    array(select case r when 0 then 'public' else r::regrole::text end
          from unnest(p.polroles) r order by 1)::text,
    'using ' || pg_get_expr(p.polqual, p.polrelid), 'check ' || pg_get_expr(p.polwithcheck, p.polrelid))
from ours c join pg_policy p on p.polrelid = c.oid
union all
select c.relname, 'trigger ' || t.tgname, pg_get_triggerdef(t.oid) || ' ' || t.tgenabled::text
from ours c join pg_trigger t on t.tgrelid = c.oid and not t.tgisinternal
union all
select c.relname, 'rule ' || w.rulename, pg_get_ruledef(w.oid) || ' ' || w.ev_enabled::text
from ours c join pg_rewrite w on w.ev_class = c.oid where c.relkind in ('r', 'p')
union all
select distinct c.relname, 'reference ' || k.conname, 'switched off' from ours c
join pg_trigger t on t.tgrelid = c.oid and t.tgisinternal and t.tgenabled <> 'O'
join pg_constraint k on k.oid = t.tgconstraint and k.contype = 'f'
union all
select c.relname, 'persistence', case c.relpersistence when 'p' then 'logged' else 'unlogged' end
from ours c where c.relkind in ('r', 'p')
union all
select 'schema service',
       'default grant of ' || d.defaclrole::regrole::text || ' on ' || d.defaclobjtype::text,
       d.defaclacl::text
from pg_default_acl d where d.defaclnamespace = to_regnamespace('service')
union all
select c.relname, 'index ' || i.relname, pg_get_indexdef(x.indexrelid)
from ours c join pg_index x on x.indrelid = c.oid and (x.indpred is not null or x.indexprs is not null)
join pg_class i on i.oid = x.indexrelid
union all
select c.relname, 'view', pg_get_viewdef(c.oid) || coalesce(c.reloptions::text, '')
from ours c where c.relkind in ('v', 'm')
union all
select c.relname, 'partitioning', pg_get_partkeydef(c.oid) from ours c where c.relkind = 'p'
union all
select c.relname, 'owner', c.relowner::regrole::text from ours c where c.relkind in ('r', 'p', 'v', 'm')
union all
select f.signature, 'function', pg_get_functiondef(f.oid) || ' owner ' || f.proowner::regrole::text
from functions f where f.prokind in ('f', 'p')
union all
select g.place, 'grant to ' || case g.grantee when 0 then 'public' else g.grantee::regrole::text end,
       string_agg(g.privilege_type || case when g.is_grantable then '*' else '' end, ', '
                  order by g.privilege_type)
from grants g where g.grantee <> g.owner
group by 1, 2
order by 1, 2
"""
Objects = dict[tuple[str, str], str]


async def read(connection: OwnerConnection) -> Objects:
    """The definition of each object by its place and what it is; the search path must be empty."""
    cursor = await connection.execute(OBJECTS.encode())
    return {(row["place"], row["what"]): row["definition"] for row in await cursor.fetchall()}


def compared(made: Objects, there: Objects) -> list[Difference]:
    """How what is there differs from what the migrations make.

    A table that is on one side only is left to the comparison of tables.
    """
    alone = {place for place, what in made.keys() ^ there.keys() if what == "owner"}
    return [
        Difference(place, _problem(what, made.get((place, what)), there.get((place, what))))
        for place, what in sorted(made.keys() | there.keys())
        if made.get((place, what)) != there.get((place, what)) and (place not in alone or what == "view")
    ]


def _problem(what: str, wanted: str | None, standing: str | None) -> str:
    if standing is None:
        return f"{what} is missing: {_short(wanted)}"
    if wanted is None:
        return f"{what} is not in the migrations: {_short(standing)}"
    return f"{what} is {_short(standing)}, the migrations make {_short(wanted)}"


def _short(definition: str | None) -> str:
    return " ".join((definition or "").split())
