-- Each committed audit row gets the next position of its tenant's hash chain. Writers only note the row's id in
-- audit_pending, in their own transaction; one sealer at a time, service.seal_audit, moves it into audit_seals.

DO $$
BEGIN
    IF NOT pg_has_role(current_user, 'sba_sealer', 'member') THEN
        RAISE EXCEPTION 'sba_owner may not act as sba_sealer: run `sba-db bootstrap` again';
    END IF;
EXCEPTION WHEN undefined_object THEN
    RAISE EXCEPTION 'the role sba_sealer is missing: run `sba-db bootstrap` again';
END
$$;

CREATE TABLE "service"."audit_pending" (
    "tenant_id" UUID NOT NULL,
    "audit_id" UUID NOT NULL,

    CONSTRAINT "audit_pending_pkey" PRIMARY KEY ("tenant_id", "audit_id")
) WITH (
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 2000,
    autovacuum_vacuum_insert_scale_factor = 0,
    autovacuum_vacuum_insert_threshold = 10000
);

CREATE TABLE "service"."audit_seals" (
    "tenant_id" UUID NOT NULL,
    "position" BIGINT NOT NULL,
    "audit_id" UUID NOT NULL,
    "row_hash" BYTEA,
    "hash" BYTEA NOT NULL,
    "sealed_at" TIMESTAMPTZ(6) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "audit_seals_pkey" PRIMARY KEY ("tenant_id", "position"),
    CONSTRAINT "audit_seals_position" CHECK ("position" >= 1),
    CONSTRAINT "audit_seals_hashes" CHECK (octet_length("row_hash") = 32 AND octet_length("hash") = 32)
);

CREATE TABLE "service"."audit_checkpoints" (
    "tenant_id" UUID NOT NULL,
    "before_id" UUID NOT NULL,
    "position" BIGINT NOT NULL,
    "hash" BYTEA NOT NULL,
    "created_by" TEXT NOT NULL,
    "created_at" TIMESTAMPTZ(6) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "audit_checkpoints_pkey" PRIMARY KEY ("tenant_id", "before_id"),
    CONSTRAINT "audit_checkpoints_position" CHECK ("position" >= 0),
    CONSTRAINT "audit_checkpoints_hash" CHECK (octet_length("hash") = 32)
);

CREATE UNIQUE INDEX "audit_seals_tenant_id_audit_id_key" ON "service"."audit_seals"("tenant_id", "audit_id");

CREATE FUNCTION "service"."note_audit"() RETURNS TRIGGER
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
begin
    insert into service.audit_pending (tenant_id, audit_id) values (new.tenant_id, new.id) on conflict do nothing;
    return null;
end;
$$;

CREATE TRIGGER "note" AFTER INSERT ON "service"."audit_logs"
    FOR EACH ROW EXECUTE FUNCTION "service"."note_audit"();

-- The rows there are already wait for the sealer too. The owner sees none of them while the policies bind it.
ALTER TABLE "service"."audit_logs" NO FORCE ROW LEVEL SECURITY;
INSERT INTO "service"."audit_pending" ("tenant_id", "audit_id") SELECT "tenant_id", "id" FROM "service"."audit_logs";
DO $$
BEGIN
    IF (SELECT count(*) FROM service.audit_pending) <> (SELECT count(*) FROM service.audit_logs) THEN
        RAISE EXCEPTION 'not every audit row is waiting for its seal';
    END IF;
END
$$;
ALTER TABLE "service"."audit_logs" FORCE ROW LEVEL SECURITY;

-- A field as it is hashed: its length in UTF-8 bytes, a colon and itself, or a dash for NULL.
CREATE FUNCTION "service"."audit_field"("value" TEXT) RETURNS BYTEA
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN coalesce(
        convert_to(octet_length(convert_to("value", 'UTF8'))::TEXT || ':', 'UTF8') || convert_to("value", 'UTF8'),
        '\x2d'::BYTEA
    );

-- Seals up to `most` waiting rows of one tenant in the order of their ids, and says how many have left the queue.
-- A row that is gone before its seal is sealed as gone (no row_hash). The caller holds the sealers' lock.
CREATE FUNCTION "service"."seal_tenant_audit"("tenant" UUID, "most" INTEGER) RETURNS INTEGER
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
    SET enable_seqscan = off
    SET enable_hashjoin = off
    SET enable_mergejoin = off
AS $$
declare
    at bigint;
    link bytea;
    row_hash bytea;
    taken uuid[] := '{}';
    waiting record;
    moment constant bytea := int8send((extract(epoch from now()) * 1000000)::bigint);
begin
    select s.position, s.hash into at, link
    from service.audit_seals s where s.tenant_id = tenant order by s.position desc limit 1;
    if not found then
        at := 0;
        link := decode(repeat('00', 32), 'hex');
    end if;
    for waiting in
        select p.audit_id, a.canonical,
               exists (
                   select from service.audit_seals s where s.tenant_id = tenant and s.audit_id = p.audit_id
               ) as sealed
        from (
            select q.audit_id from service.audit_pending q
            where q.tenant_id = tenant order by q.audit_id limit most
        ) p
        left join lateral (
            select convert_to('sba.audit.1', 'UTF8')
                   || service.audit_field(a.tenant_id::text) || service.audit_field(a.id::text)
                   || service.audit_field(a.actor_id::text) || service.audit_field(a.action)
                   || service.audit_field(a.resource_type) || service.audit_field(a.resource_id)
                   || service.audit_field(a.before::text) || service.audit_field(a.after::text)
                   || service.audit_field(a.request_id)
                   || service.audit_field(trunc(extract(epoch from a.created_at) * 1000000)::text) as canonical
            from service.audit_logs a where a.tenant_id = tenant and a.id = p.audit_id limit 1
        ) a on true
        order by p.audit_id
    loop
        taken := taken || waiting.audit_id;
        continue when waiting.sealed;
        row_hash := sha256(waiting.canonical);
        at := at + 1;
        link := sha256(
            link || int8send(at) || moment || uuid_send(waiting.audit_id) || coalesce(row_hash, ''::bytea)
        );
        insert into service.audit_seals (tenant_id, position, audit_id, row_hash, hash, sealed_at)
        values (tenant, at, waiting.audit_id, row_hash, link, now());
    end loop;
    delete from service.audit_pending p where p.tenant_id = tenant and p.audit_id = any (taken);
    return cardinality(taken);
end;
$$;

-- Seals about `most` waiting rows, up to `most_each` a tenant, beginning with the tenant after `past`.
-- `reached` is the tenant to go on after, NULL at the end of a round; `more` says that a tenant has more than its
-- share waiting; `taken` is NULL when another sealer is at work.
CREATE FUNCTION "service"."seal_audit"(
    "past" UUID, "most" INTEGER, "most_each" INTEGER,
    OUT "taken" INTEGER, OUT "reached" UUID, OUT "more" BOOLEAN
)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    SET enable_seqscan = off
AS $$
declare
    moved integer;
begin
    more := false;
    if not pg_try_advisory_xact_lock(72707372) then
        return;
    end if;
    taken := 0;
    reached := past;
    while taken < most loop
        if reached is null then
            select p.tenant_id into reached from service.audit_pending p order by p.tenant_id limit 1;
        else
            select p.tenant_id into reached from service.audit_pending p
            where p.tenant_id > reached order by p.tenant_id limit 1;
        end if;
        exit when reached is null;
        moved := service.seal_tenant_audit(reached, most_each);
        taken := taken + moved;
        more := more or moved >= most_each;
    end loop;
end;
$$;

-- Before rows with an id below `cut` are dropped: seals what of them still waits, and writes for each tenant that
-- has such rows up to which position the chain consists of nothing else. Says how many checkpoints were written.
CREATE FUNCTION "service"."checkpoint_audit"("cut" UUID) RETURNS INTEGER
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    SET enable_seqscan = off
AS $$
declare
    one uuid;
    earlier record;
    upto bigint;
    written integer := 0;
begin
    perform pg_advisory_xact_lock(72707372);
    select p.tenant_id into one from service.audit_pending p order by p.tenant_id limit 1;
    while one is not null loop
        while exists (select from service.audit_pending p where p.tenant_id = one and p.audit_id < cut) loop
            perform service.seal_tenant_audit(one, 1000);
        end loop;
        select p.tenant_id into one from service.audit_pending p
        where p.tenant_id > one order by p.tenant_id limit 1;
    end loop;
    select s.tenant_id into one from service.audit_seals s order by s.tenant_id limit 1;
    while one is not null loop
        select c.before_id, c.position into earlier from service.audit_checkpoints c
        where c.tenant_id = one order by c.before_id desc limit 1;
        if exists (
            select from service.audit_seals s
            where s.tenant_id = one and s.audit_id < cut
              and (earlier.before_id is null or s.audit_id >= earlier.before_id)
        ) then
            select s.position - 1 into upto from service.audit_seals s
            where s.tenant_id = one and s.position > coalesce(earlier.position, 0) and s.audit_id >= cut
            order by s.position limit 1;
            if upto is null then
                select max(s.position) into upto from service.audit_seals s where s.tenant_id = one;
            end if;
            insert into service.audit_checkpoints (tenant_id, before_id, position, hash, created_by)
            select one, cut, upto, coalesce(
                (select s.hash from service.audit_seals s where s.tenant_id = one and s.position = upto),
                decode(repeat('00', 32), 'hex')
            ), session_user;
            written := written + 1;
        end if;
        select s.tenant_id into one from service.audit_seals s
        where s.tenant_id > one order by s.tenant_id limit 1;
    end loop;
    return written;
end;
$$;

ALTER TABLE "service"."audit_pending" ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE "service"."audit_seals" ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE "service"."audit_checkpoints" ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;

CREATE POLICY "tenant" ON "service"."audit_pending"
    USING ("tenant_id" = (SELECT "service"."current_tenant"()))
    WITH CHECK ("tenant_id" = (SELECT "service"."current_tenant"()));
CREATE POLICY "tenant" ON "service"."audit_seals"
    USING ("tenant_id" = (SELECT "service"."current_tenant"()))
    WITH CHECK ("tenant_id" = (SELECT "service"."current_tenant"()));
CREATE POLICY "tenant" ON "service"."audit_checkpoints"
    USING ("tenant_id" = (SELECT "service"."current_tenant"()))
    WITH CHECK ("tenant_id" = (SELECT "service"."current_tenant"()));

-- Nobody logs in as sba_sealer; it is what the functions above act as, and who verifies.
CREATE POLICY "sealer" ON "service"."audit_logs" FOR SELECT TO sba_sealer USING (true);
CREATE POLICY "sealer" ON "service"."audit_pending" TO sba_sealer USING (true) WITH CHECK (true);
CREATE POLICY "sealer" ON "service"."audit_seals" TO sba_sealer USING (true) WITH CHECK (true);
CREATE POLICY "sealer" ON "service"."audit_checkpoints" TO sba_sealer USING (true) WITH CHECK (true);

REVOKE ALL ON FUNCTION
    "service"."note_audit"(), "service"."audit_field"(TEXT), "service"."seal_tenant_audit"(UUID, INTEGER),
    "service"."seal_audit"(UUID, INTEGER, INTEGER), "service"."checkpoint_audit"(UUID)
    FROM PUBLIC;
GRANT USAGE ON SCHEMA "service" TO sba_sealer, sba_worker;
GRANT EXECUTE ON FUNCTION "service"."current_tenant"() TO sba_sealer;
GRANT SELECT ON "service"."audit_logs" TO sba_sealer;
GRANT SELECT, INSERT, DELETE ON "service"."audit_pending" TO sba_sealer;
GRANT SELECT, INSERT ON "service"."audit_seals", "service"."audit_checkpoints" TO sba_sealer;
GRANT SELECT ON "service"."audit_seals", "service"."audit_checkpoints" TO sba_app;

GRANT CREATE ON SCHEMA "service" TO sba_sealer;
ALTER FUNCTION "service"."note_audit"() OWNER TO sba_sealer;
ALTER FUNCTION "service"."audit_field"(TEXT) OWNER TO sba_sealer;
ALTER FUNCTION "service"."seal_tenant_audit"(UUID, INTEGER) OWNER TO sba_sealer;
ALTER FUNCTION "service"."seal_audit"(UUID, INTEGER, INTEGER) OWNER TO sba_sealer;
ALTER FUNCTION "service"."checkpoint_audit"(UUID) OWNER TO sba_sealer;
REVOKE CREATE ON SCHEMA "service" FROM sba_sealer;

SET ROLE sba_sealer;
GRANT EXECUTE ON FUNCTION "service"."note_audit"(), "service"."checkpoint_audit"(UUID) TO sba_owner;
GRANT EXECUTE ON FUNCTION "service"."seal_audit"(UUID, INTEGER, INTEGER) TO sba_owner, sba_worker;
SET ROLE sba_owner;
