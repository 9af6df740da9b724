-- Functions of one schema that PostgREST can call, overloads in the order of their arguments.
select
    p.proname::text as name,
    pg_catalog.obj_description(p.oid, 'pg_proc') as comment,
    p.prorettype::bigint as result,
    p.proretset as many,
    p.pronargdefaults::int as defaults,
    coalesce(p.proargnames, '{}')::text[] as names,
    coalesce(p.proargmodes, '{}')::text[] as modes,
    coalesce(p.proallargtypes, p.proargtypes::oid[])::bigint[] as types
from pg_catalog.pg_proc as p
join pg_catalog.pg_namespace as n on n.oid = p.pronamespace
where n.nspname = %(schema)s and p.prokind = 'f'
    and p.prorettype not in ('trigger'::pg_catalog.regtype, 'event_trigger'::pg_catalog.regtype)
    and not exists (
        select from pg_catalog.pg_depend as d
        where d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass and d.objid = p.oid and d.deptype = 'e'
    )
order by p.proname collate "C", pg_catalog.pg_get_function_identity_arguments(p.oid) collate "C"
