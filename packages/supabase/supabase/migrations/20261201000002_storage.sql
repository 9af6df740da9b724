-- Tenants' files: one private bucket in which every object's first folder is its tenant's id.
--
-- Schema storage is Supabase's own: where there is none, nothing happens but that the function below is there to be
-- called once there is one, and where its tables are another role's, that role calls it.

create function app.install_storage_policies() returns void
language plpgsql volatile security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
    insert into storage.buckets (id, name, public, file_size_limit)
    values ('tenant-files', 'tenant-files', false, 52428800)
    on conflict (id) do nothing;

    drop policy if exists tenant_files_read on storage.objects;
    create policy tenant_files_read on storage.objects
        for select to authenticated
        using (
            bucket_id = 'tenant-files'
            and (storage.foldername(name))[1] = (select app.current_tenant())::text
        );

    drop policy if exists tenant_files_add on storage.objects;
    create policy tenant_files_add on storage.objects
        for insert to authenticated
        with check (
            bucket_id = 'tenant-files'
            and (storage.foldername(name))[1] = (select app.current_tenant())::text
            and (select app.may_write())
        );

    drop policy if exists tenant_files_change on storage.objects;
    create policy tenant_files_change on storage.objects
        for update to authenticated
        using (
            bucket_id = 'tenant-files'
            and (storage.foldername(name))[1] = (select app.current_tenant())::text
            and (select app.may_write())
        )
        with check (
            bucket_id = 'tenant-files'
            and (storage.foldername(name))[1] = (select app.current_tenant())::text
            and (select app.may_write())
        );

    drop policy if exists tenant_files_remove on storage.objects;
    create policy tenant_files_remove on storage.objects
        for delete to authenticated
        using (
            bucket_id = 'tenant-files'
            and (storage.foldername(name))[1] = (select app.current_tenant())::text
            and (select app.may_write())
        );
end
$$;

-- Whether the subject of the request may change what belongs to its tenant: a viewer may not.
create function app.may_write() returns boolean
language sql stable security invoker
set search_path = pg_catalog, pg_temp
as $$
    select coalesce(app.membership_role(app.current_tenant()) in ('owner', 'admin', 'member'), false)
$$;

comment on function app.install_storage_policies() is
    'Makes the bucket tenant-files and its policies. Call it as a role that may write policies on storage.objects.';

revoke all on function app.install_storage_policies(), app.may_write() from public;
grant execute on function app.may_write() to authenticated;

do $$
begin
    if to_regclass('storage.objects') is null or to_regclass('storage.buckets') is null then
        return;
    end if;
    perform app.install_storage_policies();
exception when insufficient_privilege then
    raise warning 'storage has no policies for tenants yet: '
        'run "select app.install_storage_policies()" as the role that may write them';
end
$$;
