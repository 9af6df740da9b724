-- What Supabase Auth keeps, as far as the stand-in serves it. Runs as supabase_auth_admin; safe to repeat.

create table if not exists auth.users (
    id uuid primary key,
    aud text not null default 'authenticated',
    role text not null default 'authenticated',
    email text unique,
    encrypted_password text,
    email_confirmed_at timestamptz,
    last_sign_in_at timestamptz,
    raw_app_meta_data jsonb not null default '{}',
    raw_user_meta_data jsonb not null default '{}',
    banned_until timestamptz,
    deleted_at timestamptz,
    created_at timestamptz not null,
    updated_at timestamptz not null
);

create table if not exists auth.sessions (
    id uuid primary key,
    user_id uuid not null references auth.users (id) on delete cascade,
    created_at timestamptz not null,
    refreshed_at timestamptz
);

create index if not exists sessions_user_id_idx on auth.sessions (user_id);

-- Only digests: nobody who reads the table can act as its users.
create table if not exists auth.refresh_tokens (
    digest bytea primary key,
    session_id uuid not null references auth.sessions (id) on delete cascade,
    parent bytea,
    revoked boolean not null default false,
    created_at timestamptz not null,
    updated_at timestamptz not null
);

-- With the token before it, which is not kept, it makes the token again; without that it is of no use.
alter table auth.refresh_tokens add column if not exists seed bytea;

create index if not exists refresh_tokens_session_id_idx on auth.refresh_tokens (session_id);

create or replace function auth.jwt() returns jsonb language sql stable as $$
    select nullif(current_setting('request.jwt.claims', true), '')::jsonb
$$;

create or replace function auth.uid() returns uuid language sql stable as $$
    select nullif(auth.jwt() ->> 'sub', '')::uuid
$$;

create or replace function auth.role() returns text language sql stable as $$
    select auth.jwt() ->> 'role'
$$;

grant usage on schema auth to anon, authenticated, service_role;
grant execute on function auth.jwt(), auth.uid(), auth.role() to anon, authenticated, service_role;
