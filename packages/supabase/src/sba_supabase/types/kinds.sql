-- Every type that a column, an argument or a result may have.
select
    t.oid::bigint as oid,
    t.typname::text as name,
    t.typtype::text as kind,
    t.typelem::bigint as element,
    t.typcategory = 'A' and t.typelem <> 0 as is_array,
    t.typbasetype::bigint as base,
    case when c.relkind in ('r', 'p', 'v', 'm', 'f') and n.nspname = %(schema)s then c.relname::text end as relation,
    n.nspname = %(schema)s as ours,
    coalesce((
        select pg_catalog.array_agg(e.enumlabel::text order by e.enumsortorder)
        from pg_catalog.pg_enum as e where e.enumtypid = t.oid
    ), '{}') as labels
from pg_catalog.pg_type as t
join pg_catalog.pg_namespace as n on n.oid = t.typnamespace
left join pg_catalog.pg_class as c on c.oid = t.typrelid
order by n.nspname collate "C", t.typname collate "C"
