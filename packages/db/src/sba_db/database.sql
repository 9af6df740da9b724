do $$
declare
    extension text;
begin
    create schema if not exists extensions;
    grant usage on schema extensions to public;
    grant usage, create on schema public to sba_owner;
    foreach extension in array array['vector', 'pg_trgm', 'unaccent']
    loop
        begin
            execute format('create extension if not exists %I with schema extensions', extension);
        exception when feature_not_supported or undefined_file then
            raise exception 'the extension % is not installed on this server', extension;
        end;
    end loop;
end
$$
