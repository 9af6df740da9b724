-- The call with which a client enters a tenant. It answers and changes nothing: each PostgREST request is a transaction
-- of its own, so from then on the client names the tenant in the x-tenant-id header, and app.request_tenant() checks it.

-- The role of the token's subject in a tenant, null without a live membership. It cannot be asked about anyone else.
create function app.membership_role(tenant uuid) returns text
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    claims json := nullif(current_setting('request.jwt.claims', true), '')::json;
    subject uuid := nullif(claims ->> 'sub', '')::uuid;
begin
    return (
        select m.role from public.memberships as m
        where m.tenant_id = tenant and m.user_id = subject and m.revoked_at is null
    );
end
$$;

-- PostgREST answers 403. A tenant that does not exist is answered as one the subject is no member of.
create function public.set_tenant_context(tenant_id uuid) returns text
language plpgsql stable security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
    found_role text := app.membership_role(tenant_id);
begin
    if found_role is null then
        raise exception using errcode = 'insufficient_privilege', message = 'a live membership is required';
    end if;
    return found_role;
end
$$;

comment on function public.set_tenant_context(uuid) is
    'The role of the caller in a tenant; 403 without a live membership.';

revoke all on function app.membership_role(uuid) from public;
revoke all on function public.set_tenant_context(uuid) from public, anon, service_role;
grant execute on function app.membership_role(uuid), public.set_tenant_context(uuid) to authenticated;
