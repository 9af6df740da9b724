do $$
declare
    made record;
begin
    for made in
        select *
        from (values
            ('sba_owner', 'nologin noinherit'),
            ('sba_sealer', 'nologin'),
            ('sba_migrator', 'login noinherit'),
            ('sba_app', 'login'),
            ('sba_worker', 'login')
        ) as wanted (name, kind)
    loop
        if not exists (select from pg_catalog.pg_roles where rolname = made.name) then
            execute format('create role %I %s', made.name, made.kind);
        end if;
        execute format('alter role %I %s nocreatedb nocreaterole', made.name, made.kind);
        if made.kind not like 'nologin%' then
            execute format('alter role %I set search_path = public, extensions', made.name);
        end if;
    end loop;
    grant sba_owner to sba_migrator;
    grant sba_sealer to sba_owner;
    revoke sba_owner, sba_sealer from sba_app, sba_worker;
end
$$
