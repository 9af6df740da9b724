-- Tables and views of one schema with their columns, in the order of names and places.
with relations as (
    select c.oid, c.relname::text as name, c.relkind in ('r', 'p') as writable
    from pg_catalog.pg_class as c
    join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
    where n.nspname = %(schema)s and c.relkind in ('r', 'p', 'v', 'm', 'f') and not c.relispartition
        and not exists (
            select from pg_catalog.pg_depend as d
            where d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass and d.objid = c.oid and d.deptype = 'e'
        )
)
select
    r.name, r.writable,
    pg_catalog.obj_description(r.oid, 'pg_class') as comment,
    coalesce((
        select pg_catalog.array_agg(k.attname::text order by pg_catalog.array_position(i.indkey::int2[], k.attnum))
        from pg_catalog.pg_index as i
        join pg_catalog.pg_attribute as k on k.attrelid = i.indrelid and k.attnum = any (i.indkey::int2[])
        where i.indrelid = r.oid and i.indisprimary
    ), '{}') as key,
    (
        select pg_catalog.json_agg(pg_catalog.json_build_object(
            'name', a.attname,
            'type', a.atttypid::bigint,
            'nullable', not (a.attnotnull or t.typnotnull),
            'optional', a.atthasdef or a.attidentity <> '' or t.typdefault is not null,
            'generated', a.attgenerated <> '' or a.attidentity = 'a'
        ) order by a.attnum)
        from pg_catalog.pg_attribute as a
        join pg_catalog.pg_type as t on t.oid = a.atttypid
        where a.attrelid = r.oid and a.attnum > 0 and not a.attisdropped
    ) as columns
from relations as r
order by r.name collate "C"
