-- What a set of schemas holds, as one JSON document. Run as the authenticator: it reads names, never rows.
with exposed as (
    select oid, nspname from pg_catalog.pg_namespace where nspname = any(%(schemas)s::text[])
),
relations as (
    select c.oid, n.nspname as schema, c.relname as name, c.relkind::text as kind, c.reltype
    from pg_catalog.pg_class c
    join exposed n on n.oid = c.relnamespace
    where c.relkind in ('r', 'p', 'v', 'm', 'f')
),
columns as (
    select
        a.attrelid,
        json_agg(
            json_build_object('name', a.attname, 'type', json_build_array(tn.nspname, t.typname))
            order by a.attnum
        ) as listed
    from pg_catalog.pg_attribute a
    join relations r on r.oid = a.attrelid
    join pg_catalog.pg_type t on t.oid = a.atttypid
    join pg_catalog.pg_namespace tn on tn.oid = t.typnamespace
    where a.attnum > 0 and not a.attisdropped
    group by a.attrelid
),
keyed as (
    select
        k.oid, k.conname, k.contype, k.conrelid, k.confrelid, k.conparentid,
        (
            select json_agg(a.attname order by p.at)
            from unnest(k.conkey) with ordinality p (number, at)
            join pg_catalog.pg_attribute a on a.attrelid = k.conrelid and a.attnum = p.number
        ) as columns,
        (
            select json_agg(a.attname order by p.at)
            from unnest(k.confkey) with ordinality p (number, at)
            join pg_catalog.pg_attribute a on a.attrelid = k.confrelid and a.attnum = p.number
        ) as target_columns
    from pg_catalog.pg_constraint k
    where k.contype in ('p', 'u', 'f') and k.conrelid in (select oid from relations)
),
functions as (
    select
        p.oid, n.nspname as schema, p.proname as name, p.provolatile::text as volatility,
        p.proretset as many, p.pronargs, p.pronargdefaults, p.provariadic <> 0 as variadic,
        p.proargnames, p.proargmodes, p.proargtypes, p.proallargtypes, p.prorettype
    from pg_catalog.pg_proc p
    join exposed n on n.oid = p.pronamespace
    where p.prokind = 'f' and p.prorettype not in ('trigger'::regtype, 'event_trigger'::regtype)
)
select json_build_object(
    'tables', (
        select coalesce(json_agg(json_build_object(
            'schema', r.schema, 'name', r.name, 'kind', r.kind, 'columns', coalesce(c.listed, '[]'),
            'primary_key', (select k.columns from keyed k where k.conrelid = r.oid and k.contype = 'p'),
            'uniques', (
                select json_agg(k.columns) from keyed k where k.conrelid = r.oid and k.contype in ('p', 'u')
            )
        )), '[]')
        from relations r left join columns c on c.attrelid = r.oid
    ),
    'foreign_keys', (
        select coalesce(json_agg(json_build_object(
            'name', k.conname,
            'table', json_build_array(o.schema, o.name), 'columns', k.columns,
            'target', json_build_array(t.schema, t.name), 'target_columns', k.target_columns
        ) order by k.conname), '[]')
        from keyed k
        join relations o on o.oid = k.conrelid
        join relations t on t.oid = k.confrelid
        where k.contype = 'f' and k.conparentid = 0
    ),
    'functions', (
        select coalesce(json_agg(json_build_object(
            'schema', f.schema, 'name', f.name, 'volatility', f.volatility, 'many', f.many,
            'parameters', (
                select coalesce(json_agg(json_build_object(
                    'name', coalesce(f.proargnames[at], ''), 'type', json_build_array(tn.nspname, t.typname),
                    'required', i <= f.pronargs - f.pronargdefaults,
                    'variadic', f.variadic and i = f.pronargs,
                    'relation', case when t.typrelid <> 0 then json_build_array(tn.nspname, t.typname) end
                ) order by i), '[]')
                from (
                    select row_number() over (order by at) as i, at, typ
                    from unnest(coalesce(f.proallargtypes, f.proargtypes::oid[])) with ordinality a (typ, at)
                    where coalesce(f.proargmodes[at], 'i') in ('i', 'b', 'v')
                ) numbered
                join pg_catalog.pg_type t on t.oid = numbered.typ
                join pg_catalog.pg_namespace tn on tn.oid = t.typnamespace
            ),
            'outputs', (
                select json_agg(json_build_object(
                    'name', f.proargnames[at], 'type', json_build_array(tn.nspname, t.typname)
                ) order by at)
                from unnest(f.proallargtypes) with ordinality a (typ, at)
                join pg_catalog.pg_type t on t.oid = a.typ
                join pg_catalog.pg_namespace tn on tn.oid = t.typnamespace
                where f.proargmodes[at] in ('o', 'b', 't')
            ),
            'returns', json_build_array(rn.nspname, rt.typname), 'kind', rt.typtype,
            'attributes', (
                select json_agg(json_build_object(
                    'name', a.attname, 'type', json_build_array(tn.nspname, t.typname)
                ) order by a.attnum)
                from pg_catalog.pg_attribute a
                join pg_catalog.pg_type t on t.oid = a.atttypid
                join pg_catalog.pg_namespace tn on tn.oid = t.typnamespace
                where a.attrelid = rt.typrelid and a.attnum > 0 and not a.attisdropped
            )
        ) order by f.oid), '[]')
        from functions f
        join pg_catalog.pg_type rt on rt.oid = f.prorettype
        join pg_catalog.pg_namespace rn on rn.oid = rt.typnamespace
    ),
    'types', (
        select coalesce(json_agg(json_build_array(n.nspname, t.typname)), '[]')
        from pg_catalog.pg_type t
        join pg_catalog.pg_namespace n on n.oid = t.typnamespace
        where t.typtype in ('b', 'd', 'e', 'r', 'm')
            and (n.nspname = 'pg_catalog' or n.oid in (select oid from exposed) or n.nspname = 'extensions')
    )
)
