-- Tenants, who belongs to them, and the functions with which every policy decides whose row it is.
-- Owned by sba_owner. Runs on Postgres 15 to 18.

do $$
begin
    if current_user <> 'sba_owner' then
        raise exception 'the migrations run as sba_owner: apply them with "sba-supabase migrate"';
    end if;
end
$$;

create schema app;
revoke all on schema app from public;
grant usage on schema app to sba_app, authenticated;
grant usage on schema public to sba_app, authenticated, service_role;

create table public.tenants (
    id uuid primary key default gen_random_uuid(),
    slug text not null unique check (slug ~ '^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$'),
    name text not null check (char_length(name) between 1 and 200),
    created_at timestamptz not null default now()
);

create table public.memberships (
    tenant_id uuid not null references public.tenants (id) on delete cascade,
    user_id uuid not null,
    role text not null default 'member' check (role in ('owner', 'admin', 'member', 'viewer')),
    created_at timestamptz not null default now(),
    revoked_at timestamptz,
    primary key (tenant_id, user_id)
);

create index memberships_user_id_idx on public.memberships (user_id);

comment on table public.tenants is 'The customers of the platform.';
comment on table public.memberships is 'Who may act in which tenant. A membership with revoked_at is over.';

-- Whether a user is a live member. For trusted services: anyone who may call it can ask about anyone.
create function app.is_member(tenant uuid, member uuid) returns boolean
language plpgsql stable parallel safe security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    return exists (
        select from public.memberships as m
        where m.tenant_id = tenant and m.user_id = member and m.revoked_at is null
    );
end
$$;

-- Check membership and set the tenant of this transaction, in the one round trip that starts it.
create function app.enter_tenant(tenant uuid, member uuid) returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    perform from public.memberships as m
    where m.tenant_id = tenant and m.user_id = member and m.revoked_at is null;
    if not found then
        raise exception 'a live membership is required' using errcode = 'SB403';
    end if;
    perform set_config('app.tenant_id', tenant::text, true);
    perform set_config('app.user_id', member::text, true);
end
$$;

-- The tenant of a PostgREST request: the x-tenant-id header, else the claim in app_metadata, and in either case only
-- with a live membership of the token's subject. Never the setting.
create function app.request_tenant() returns uuid
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    headers json := nullif(current_setting('request.headers', true), '')::json;
    claims json := nullif(current_setting('request.jwt.claims', true), '')::json;
    subject uuid := nullif(claims ->> 'sub', '')::uuid;
    wanted uuid := coalesce(
        nullif(headers ->> 'x-tenant-id', ''),
        nullif(claims #>> '{app_metadata,tenant_id}', '')
    )::uuid;
begin
    if not app.is_member(wanted, subject) then
        return null;
    end if;
    return wanted;
end
$$;

-- The tenant whose rows are in sight. After a transaction-local use the setting reads '', not null.
create function app.current_tenant() returns uuid
language sql stable
as $$
    select case
        when current_user in ('anon', 'authenticated') then app.request_tenant()
        else nullif(current_setting('app.tenant_id', true), '')::uuid
    end
$$;

revoke all on function app.is_member(uuid, uuid) from public;
revoke all on function app.enter_tenant(uuid, uuid) from public;
revoke all on function app.request_tenant() from public;
revoke all on function app.current_tenant() from public;
grant execute on function app.is_member(uuid, uuid), app.enter_tenant(uuid, uuid) to sba_app;
grant execute on function app.request_tenant(), app.current_tenant() to sba_app, authenticated;

alter table public.tenants enable row level security;
alter table public.tenants force row level security;
alter table public.memberships enable row level security;
alter table public.memberships force row level security;

create policy tenants_in_sight on public.tenants
    for select to sba_app, authenticated
    using (id = (select app.current_tenant()));

create policy memberships_in_sight on public.memberships
    for select to sba_app, authenticated
    using (tenant_id = (select app.current_tenant()));

-- FORCE binds the owner too, and the security definer functions above run as the owner.
create policy memberships_lookup on public.memberships
    for select to sba_owner
    using (true);

revoke all on public.tenants, public.memberships from public, anon, authenticated, service_role, sba_app;
grant select on public.tenants, public.memberships to sba_app, authenticated;
grant select, insert, update, delete on public.tenants, public.memberships to service_role;
