-- What each tenant knows: documents, and the passages of them that search finds.

create table public.documents (
    tenant_id uuid not null references public.tenants (id),
    id uuid not null,
    title text not null,
    content text not null,
    metadata jsonb not null default '{}',
    created_by uuid,
    chunk_count integer not null,
    created_at timestamptz not null default now(),
    constraint documents_pkey primary key (tenant_id, id),
    constraint documents_title_length check (char_length(title) between 1 and 300),
    constraint documents_content_size check (octet_length(content) between 1 and 1048576),
    constraint documents_metadata_object check (jsonb_typeof(metadata) = 'object'),
    constraint documents_chunk_count check (chunk_count >= 1)
);

-- The title is kept beside each passage so that it is searched with it; documents are never renamed.
create table public.chunks (
    tenant_id uuid not null,
    id uuid not null,
    document_id uuid not null,
    position integer not null,
    title text not null,
    content text not null,
    search tsvector not null generated always as (
        setweight(to_tsvector('pg_catalog.english', title), 'A')
        || setweight(to_tsvector('pg_catalog.indonesian', title), 'A')
        || to_tsvector('pg_catalog.english', content)
        || to_tsvector('pg_catalog.indonesian', content)
    ) stored,
    constraint chunks_pkey primary key (tenant_id, id),
    constraint chunks_position unique (tenant_id, document_id, position),
    constraint chunks_position_positive check (position >= 0),
    constraint chunks_document foreign key (tenant_id, document_id)
        references public.documents (tenant_id, id) on delete cascade
);

-- No GIN index: under row level security only leakproof operators may use an index, and @@ is none, so no role
-- that serves requests could use it. A search reads the tenant's passages by the primary key instead.
-- Kept in the row, this column is read in half the time.
alter table public.chunks alter column search set storage main;

alter table public.documents enable row level security;
alter table public.documents force row level security;
alter table public.chunks enable row level security;
alter table public.chunks force row level security;

create policy documents_tenant on public.documents to sba_app
    using (tenant_id = (select app.current_tenant()))
    with check (tenant_id = (select app.current_tenant()));
create policy documents_read on public.documents for select to authenticated
    using (tenant_id = (select app.current_tenant()));
create policy chunks_tenant on public.chunks to sba_app
    using (tenant_id = (select app.current_tenant()))
    with check (tenant_id = (select app.current_tenant()));
create policy chunks_read on public.chunks for select to authenticated
    using (tenant_id = (select app.current_tenant()));

revoke all on public.documents, public.chunks from public, anon, authenticated, service_role, sba_app;
grant select, insert, delete on public.documents, public.chunks to sba_app;
grant select on public.documents, public.chunks to authenticated;
grant select, insert, delete on public.documents, public.chunks to service_role;
