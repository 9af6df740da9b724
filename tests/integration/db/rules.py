"""Rules for whatever the catalog has in our schemas: a query for what breaks each, and a way to break it."""

from __future__ import annotations

from dataclasses import dataclass

PRELUDE = """
with ours as (
    select oid, nspname from pg_namespace
    where nspname !~ '^pg_' and nspname not in ('information_schema', 'extensions')
), serving as (
    select * from pg_roles where rolname in ('sba_app', 'sba_worker', 'authenticated', 'anon', 'sba_sabotage')
), tables as (
    select c.oid as id, c.oid::regclass::text as name, c.* from pg_class c
    where c.relkind in ('r', 'p') and c.relnamespace in (select oid from ours)
), tenants as (
    select t.* from tables t where exists (
        select from pg_attribute a where a.attrelid = t.id and a.attname = 'tenant_id' and not a.attisdropped
    )
), policies as (
    select t.name || '.' || p.polname as name, p.polcmd as command,
           coalesce(pg_get_expr(p.polqual, p.polrelid), '') as sight,
           coalesce(pg_get_expr(p.polwithcheck, p.polrelid), '') as writing
    from tenants t join pg_policy p on p.polrelid = t.id
    where p.polpermissive and (0 = any(p.polroles) or exists (
        select from serving r, unnest(p.polroles) bound where pg_has_role(r.oid, bound, 'member')
    ))
), functions as (
    select f.oid::regprocedure::text as name, f.*, s.nspname
    from pg_proc f join ours s on s.oid = f.pronamespace
    where not exists (select from pg_depend d where d.objid = f.oid and d.deptype = 'e')
)
"""


@dataclass(frozen=True, slots=True)
class Rule:
    """What nothing in the catalog may be.

    Attributes:
        offenders: Asks for the names of what breaks it.
        sabotage: Breaks it.
        culprit: What is then named.
    """

    offenders: str
    sabotage: str
    culprit: str


RULES = {
    "row level security is enabled and forced on every tenant table that is granted to anybody": Rule(
        """
        select name from tenants t where not (t.relrowsecurity and t.relforcerowsecurity)
          and (not t.relispartition or exists (
              select from serving r where has_any_column_privilege(r.oid, t.id, 'select, insert, update')
                 or has_table_privilege(r.oid, t.id, 'delete')
          ))
        """,
        "alter table service.run_events no force row level security",
        "service.run_events",
    ),
    "a policy shows nobody who serves more than the tenant's rows": Rule(
        r"""
        select name from policies
        where command <> 'a'
          and sight !~ '^\(tenant_id = \( SELECT \w+\.current_tenant\(\) AS current_tenant\)\)$'
        """,
        "create policy open on service.tool_calls for select using (true)",
        "service.tool_calls.open",
    ),
    "a policy for writes holds them to the tenant": Rule(
        r"""
        select name from policies where command in ('*', 'a', 'w')
          and writing !~ '^\(tenant_id = \( SELECT \w+\.current_tenant\(\) AS current_tenant\)\)$'
        """,
        "create policy open on service.tool_calls for insert with check (tenant_id is not null)",
        "service.tool_calls.open",
    ),
    "every primary key and unique index of a tenant table is led by the tenant": Rule(
        """
        select i.indexrelid::regclass::text as name from tenants t join pg_index i on i.indrelid = t.id
        where i.indisunique and not exists (
            select from pg_attribute a
            where a.attrelid = t.id and a.attnum = i.indkey[0] and a.attname = 'tenant_id'
        )
        """,
        "create unique index oracle on service.idempotency_keys (key)",
        "service.oracle",
    ),
    "every reference between tenant tables carries the tenant on both sides": Rule(
        """
        select k.conname::text as name from pg_constraint k
        join tenants t on t.id = k.conrelid join tenants o on o.id = k.confrelid
        where k.contype = 'f' and not exists (
            select from unnest(k.conkey, k.confkey) as pair (mine, theirs)
            join pg_attribute m on m.attrelid = t.id and m.attnum = pair.mine and m.attname = 'tenant_id'
            join pg_attribute f on f.attrelid = o.id and f.attnum = pair.theirs and f.attname = 'tenant_id'
        )
        """,
        """
        create unique index alone on service.agent_runs (id);
        alter table service.run_events
            add constraint crossing foreign key (run_id) references service.agent_runs (id)
        """,
        "crossing",
    ),
    "nobody who serves may truncate, refer to, or hang a trigger on a table": Rule(
        """
        select t.name || ' ' || r.rolname || ' ' || p as name
        from tables t, serving r, unnest(array['truncate', 'references', 'trigger']) p
        where has_table_privilege(r.oid, t.id, p)
           or p = 'references' and has_any_column_privilege(r.oid, t.id, p)
        """,
        "grant references (tenant_id) on service.agent_runs to sba_app",
        "service.agent_runs sba_app references",
    ),
    "a view shows what its reader may see": Rule(
        """
        select c.oid::regclass::text as name from pg_class c join ours s on s.oid = c.relnamespace
        where c.relkind = 'm' or c.relkind = 'v' and not exists (
            select from pg_options_to_table(c.reloptions) o
            where o.option_name = 'security_invoker' and o.option_value::boolean
        )
        """,
        "create view service.every_run as select * from service.agent_runs",
        "service.every_run",
    ),
    "a function with its owner's rights pins a search path": Rule(
        """
        select name from functions f where f.prosecdef and not exists (
            select from unnest(f.proconfig) one where one ~ '^search_path=(pg_catalog|queue)(, pg_temp)$'
        )
        """,
        "create function service.careless() returns int language sql security definer return 1",
        "service.careless()",
    ),
    "a function with its owner's rights is not open to everyone": Rule(
        """
        select name from functions f
        where f.prosecdef and has_function_privilege('public', f.oid, 'execute')
        """,
        """
        create function queue.forgotten() returns int language sql security definer
            set search_path = pg_catalog, pg_temp return 1
        """,
        "queue.forgotten()",
    ),
    "no function of the tenants' schemas is open to everyone": Rule(
        """
        select name from functions f
        where f.nspname <> 'queue' and has_function_privilege('public', f.oid, 'execute')
        """,
        "create function service.forgotten() returns int language sql return 1",
        "service.forgotten()",
    ),
    "a function with its owner's rights is nobody's who logs in or is above row level security": Rule(
        """
        select f.name from functions f join pg_roles r on r.oid = f.proowner
        where f.prosecdef and (r.rolsuper or r.rolbypassrls or r.rolcanlogin)
        """,
        """
        create function service.mighty() returns int language sql security definer
            set search_path = pg_catalog, pg_temp return 1
        """,
        "service.mighty()",
    ),
    "nobody who serves makes anything in a schema": Rule(
        """
        select s.nspname || ' ' || r.rolname as name from ours s, serving r
        where has_schema_privilege(r.oid, s.oid, 'create')
        """,
        "grant create on schema app to sba_app",
        "app sba_app",
    ),
    "nobody who serves can become somebody else": Rule(
        """
        select r.rolname || ' ' || o.rolname as name from serving r, pg_roles o
        where r.oid <> o.oid and pg_has_role(r.oid, o.oid, 'member')
        """,
        "create role sba_stranger; grant sba_stranger to sba_app",
        "sba_app sba_stranger",
    ),
    "nobody who serves is above row level security": Rule(
        """
        select rolname as name from serving
        where rolsuper or rolbypassrls or rolcreaterole or rolcreatedb or rolreplication
        """,
        "create role sba_sabotage bypassrls",
        "sba_sabotage",
    ),
    "a table is nobody's who can log in": Rule(
        "select t.name from tables t join pg_roles r on r.oid = t.relowner where r.rolcanlogin or r.rolsuper",
        "create table service.left_behind (tenant_id uuid)",
        "service.left_behind",
    ),
    "no rule rewrites a statement on a table": Rule(
        "select w.rulename::text as name from pg_rewrite w join tables t on t.id = w.ev_class",
        "create rule aside as on insert to service.run_events do also nothing",
        "aside",
    ),
    "what is made next is granted to nobody who serves": Rule(
        """
        select d.defaclobjtype::text || ' ' || coalesce(r.rolname, 'public') as name
        from pg_default_acl d cross join aclexplode(d.defaclacl) g left join serving r on r.oid = g.grantee
        where g.grantee = 0 or r.oid is not null
        """,
        "alter default privileges for role sba_owner in schema service grant all on tables to sba_app",
        "r sba_app",
    ),
}
