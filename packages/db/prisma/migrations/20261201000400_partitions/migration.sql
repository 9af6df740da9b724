-- Steps, tool calls, events, audit and usage in partitions of a month, so that old months can be dropped.
--
-- The rows that are there are copied while nobody else reads or writes these tables: that takes time in proportion
-- to their size, and docs/decisions/0014 says how to plan for it.

LOCK TABLE "service"."agent_runs", "service"."agent_steps", "service"."tool_calls", "service"."run_events",
    "service"."audit_logs", "service"."usage_metrics"
    IN ACCESS EXCLUSIVE MODE;

-- The owner sees no row while the policies bind it: neither to copy nor to check references.
ALTER TABLE "service"."agent_runs" NO FORCE ROW LEVEL SECURITY;
ALTER TABLE "service"."agent_steps" NO FORCE ROW LEVEL SECURITY;
ALTER TABLE "service"."tool_calls" NO FORCE ROW LEVEL SECURITY;
ALTER TABLE "service"."run_events" NO FORCE ROW LEVEL SECURITY;
ALTER TABLE "service"."audit_logs" NO FORCE ROW LEVEL SECURITY;
ALTER TABLE "service"."usage_metrics" NO FORCE ROW LEVEL SECURITY;

-- The least id of version 7 that is made at a moment or later.
CREATE FUNCTION "service"."first_id_at"("moment" TIMESTAMPTZ) RETURNS UUID
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN (lpad(to_hex((extract(epoch FROM "moment") * 1000)::BIGINT), 12, '0') || repeat('0', 20))::UUID;

-- When an id of version 7 was made, in milliseconds.
CREATE FUNCTION "service"."moment_of"("id" UUID) RETURNS TIMESTAMPTZ
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN to_timestamp(('x' || left(replace("id"::TEXT, '-', ''), 12))::BIT(48)::BIGINT / 1000.0);

-- The least key of a table's partition of a month (in UTC), and that of the next; NULLs if it has no such partitions.
CREATE FUNCTION "service"."month_bounds"("parent" TEXT, "month" DATE, OUT "since" TEXT, OUT "until" TEXT)
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
    SET timezone = 'UTC'
    SET datestyle = 'ISO'
AS $$
    select case when t.of_ids then service.first_id_at(t.since)::text else t.since::text end,
           case when t.of_ids then service.first_id_at(t.until)::text else t.until::text end
    from (
        select a.atttypid = 'uuid'::regtype as of_ids, month::timestamptz as since,
               (month + interval '1 month')::timestamptz as until
        from pg_partitioned_table p
        join pg_attribute a on a.attrelid = p.partrelid and a.attnum = p.partattrs[0]
        where p.partrelid = to_regclass(format('service.%I', parent))
    ) t
$$;

-- The partitions that hold a month, and are named for it; others are nobody's business here.
CREATE FUNCTION "service"."month_partitions"()
    RETURNS TABLE ("parent" TEXT, "name" TEXT, "month" DATE, "bytes" BIGINT)
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
    SET timezone = 'UTC'
    SET datestyle = 'ISO'
AS $$
    select named.parent, named.name, named.month, pg_total_relation_size(named.oid)
    from (
        select c.oid, p.relname::text as parent, c.relname::text as name, c.relpartbound,
               to_date(right(c.relname, 7), 'YYYY_MM') as month
        from pg_inherits i join pg_class c on c.oid = i.inhrelid join pg_class p on p.oid = i.inhparent
        where p.relnamespace = to_regnamespace('service') and c.relnamespace = p.relnamespace
          and p.relkind = 'p' and c.relkind = 'r' and not i.inhdetachpending
          and c.relname ~ ('^' || p.relname || '_[0-9]{4}_(0[1-9]|1[0-2])$')
    ) named, service.month_bounds(named.parent, named.month) bounds
    where pg_get_expr(named.relpartbound, named.oid)
          = format('FOR VALUES FROM (%L) TO (%L)', bounds.since, bounds.until)
    order by named.parent, named.month
$$;

-- Makes the partition of a month and moves into it what the default partition holds of that month. Says how many
-- rows that were; NULL if the partition is there. Locks are taken in the order in which writers take them.
CREATE FUNCTION "service"."add_partition"("parent" TEXT, "month" DATE) RETURNS BIGINT
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
    SET timezone = 'UTC'
    SET datestyle = 'ISO'
AS $$
declare
    name constant text := parent || to_char(month, '"_"YYYY"_"MM');
    bounds record;
    referred text;
    key text;
    moved bigint;
begin
    if to_regclass(format('service.%I', name)) is not null then
        return null;
    end if;
    select * into bounds from service.month_bounds(parent, month);
    for referred in
        select distinct k.confrelid::regclass::text from pg_constraint k
        where k.conrelid = to_regclass(format('service.%I', parent)) and k.contype = 'f'
    loop
        execute format('lock table only %s in share row exclusive mode', referred);
    end loop;
    execute format('lock table only service.%I in share update exclusive mode', parent);
    execute format('lock table only service.%I in access exclusive mode', parent || '_default');
    execute format('create table service.%I (like service.%I including all)', name, parent);
    if parent = 'usage_metrics' then
        execute format('alter table service.%I set (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.05)', name);
    else
        execute format('alter table service.%I set (autovacuum_vacuum_insert_scale_factor = 0.05)', name);
    end if;
    select a.attname into key
    from pg_partitioned_table p join pg_attribute a on a.attrelid = p.partrelid and a.attnum = p.partattrs[0]
    where p.partrelid = to_regclass(format('service.%I', parent));
    execute format(
        'with moved as (delete from service.%I where %I >= %L and %I < %L returning *)'
        ' insert into service.%I select * from moved',
        parent || '_default', key, bounds.since, key, bounds.until, name
    );
    get diagnostics moved = row_count;
    execute format('alter table service.%I enable row level security, force row level security', name);
    execute format(
        'create policy tenant on service.%I using (tenant_id = (select service.current_tenant()))'
        ' with check (tenant_id = (select service.current_tenant()))', name
    );
    execute format(
        'alter table service.%I attach partition service.%I for values from (%L) to (%L)',
        parent, name, bounds.since, bounds.until
    );
    return moved;
end;
$$;

-- The call's step is one of the call's run. No foreign key says so, since it would keep months of steps from being
-- dropped; the table has no UPDATE for the application, and neither have steps.
CREATE FUNCTION "service"."step_of_call"() RETURNS TRIGGER
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
begin
    if not exists (
        select from service.agent_steps s
        where s.tenant_id = new.tenant_id and s.run_id = new.run_id and s.id = new.step_id
    ) then
        raise foreign_key_violation using
            message = 'the run has no such step', schema = 'service', table = 'tool_calls',
            constraint = 'tool_calls_tenant_id_run_id_step_id_fkey';
    end if;
    return null;
end;
$$;

REVOKE ALL ON FUNCTION
    "service"."first_id_at"(TIMESTAMPTZ), "service"."moment_of"(UUID), "service"."month_bounds"(TEXT, DATE),
    "service"."month_partitions"(), "service"."add_partition"(TEXT, DATE), "service"."step_of_call"()
    FROM PUBLIC;

ALTER TABLE "service"."agent_steps" RENAME TO "agent_steps_whole";
ALTER TABLE "service"."tool_calls" RENAME TO "tool_calls_whole";
ALTER TABLE "service"."run_events" RENAME TO "run_events_whole";
ALTER TABLE "service"."audit_logs" RENAME TO "audit_logs_whole";
ALTER TABLE "service"."usage_metrics" RENAME TO "usage_metrics_whole";

CREATE TABLE "service"."agent_steps" (LIKE "service"."agent_steps_whole" INCLUDING DEFAULTS INCLUDING CONSTRAINTS)
    PARTITION BY RANGE ("run_id");
CREATE TABLE "service"."tool_calls" (LIKE "service"."tool_calls_whole" INCLUDING DEFAULTS INCLUDING CONSTRAINTS)
    PARTITION BY RANGE ("id");
CREATE TABLE "service"."run_events" (LIKE "service"."run_events_whole" INCLUDING DEFAULTS INCLUDING CONSTRAINTS)
    PARTITION BY RANGE ("run_id");
CREATE TABLE "service"."audit_logs" (LIKE "service"."audit_logs_whole" INCLUDING DEFAULTS INCLUDING CONSTRAINTS)
    PARTITION BY RANGE ("id");
CREATE TABLE "service"."usage_metrics" (LIKE "service"."usage_metrics_whole" INCLUDING DEFAULTS INCLUDING CONSTRAINTS)
    PARTITION BY RANGE ("period");

-- What has no month of its own is kept here, so that a forgotten `sba-db retention` never stops a write.
CREATE TABLE "service"."agent_steps_default" PARTITION OF "service"."agent_steps" DEFAULT;
CREATE TABLE "service"."tool_calls_default" PARTITION OF "service"."tool_calls" DEFAULT;
CREATE TABLE "service"."run_events_default" PARTITION OF "service"."run_events" DEFAULT;
CREATE TABLE "service"."audit_logs_default" PARTITION OF "service"."audit_logs" DEFAULT;
CREATE TABLE "service"."usage_metrics_default" PARTITION OF "service"."usage_metrics" DEFAULT;

-- The months that rows are of, this one and the next three; then the rows, every one of them.
DO $$
DECLARE
    this_month CONSTANT TIMESTAMP := date_trunc('month', now() AT TIME ZONE 'UTC');
    one RECORD;
    month DATE;
    copied BIGINT;
    there BIGINT;
BEGIN
    FOR one IN
        SELECT * FROM (VALUES
            ('agent_steps', 'service.moment_of(run_id)'), ('tool_calls', 'service.moment_of(id)'),
            ('run_events', 'service.moment_of(run_id)'), ('audit_logs', 'service.moment_of(id)'),
            ('usage_metrics', 'period')
        ) AS partitioned (name, moment)
    LOOP
        FOR month IN
            EXECUTE format(
                'SELECT date_trunc(''month'', %s AT TIME ZONE ''UTC'')::DATE FROM service.%I'
                ' WHERE %s < $1 AT TIME ZONE ''UTC'''
                ' UNION SELECT generate_series($2, $1 - INTERVAL ''1 month'', ''1 month'')::DATE ORDER BY 1',
                one.moment, one.name || '_whole', one.moment
            ) USING this_month + INTERVAL '4 months', this_month
        LOOP
            PERFORM service.add_partition(one.name, month);
        END LOOP;
        EXECUTE format('INSERT INTO service.%I SELECT * FROM service.%I', one.name, one.name || '_whole');
        GET DIAGNOSTICS copied = ROW_COUNT;
        EXECUTE format('SELECT count(*) FROM ONLY service.%I', one.name || '_whole') INTO there;
        IF copied <> there OR EXISTS (
            SELECT FROM pg_class c
            WHERE c.oid = format('service.%I', one.name || '_whole')::REGCLASS AND c.relforcerowsecurity
        ) THEN
            RAISE EXCEPTION '% of % rows of % were copied', copied, there, one.name;
        END IF;
        EXECUTE format('DROP TABLE service.%I CASCADE', one.name || '_whole');
    END LOOP;
END
$$;

ALTER TABLE "service"."agent_steps" ADD CONSTRAINT "agent_steps_pkey" PRIMARY KEY ("tenant_id", "run_id", "id");
ALTER TABLE "service"."tool_calls" ADD CONSTRAINT "tool_calls_pkey" PRIMARY KEY ("tenant_id", "id");
ALTER TABLE "service"."run_events" ADD CONSTRAINT "run_events_pkey" PRIMARY KEY ("tenant_id", "run_id", "seq");
ALTER TABLE "service"."audit_logs" ADD CONSTRAINT "audit_logs_pkey" PRIMARY KEY ("tenant_id", "id");
ALTER TABLE "service"."usage_metrics" ADD CONSTRAINT "usage_metrics_pkey" PRIMARY KEY ("tenant_id", "period", "metric");
CREATE UNIQUE INDEX "agent_steps_tenant_id_run_id_seq_key" ON "service"."agent_steps"("tenant_id", "run_id", "seq");
CREATE INDEX "tool_calls_tenant_id_run_id_id_idx" ON "service"."tool_calls"("tenant_id", "run_id", "id");

ALTER TABLE "service"."agent_steps" ADD CONSTRAINT "agent_steps_tenant_id_run_id_fkey"
    FOREIGN KEY ("tenant_id", "run_id") REFERENCES "service"."agent_runs"("tenant_id", "id")
    ON DELETE CASCADE ON UPDATE CASCADE;
ALTER TABLE "service"."tool_calls" ADD CONSTRAINT "tool_calls_tenant_id_run_id_fkey"
    FOREIGN KEY ("tenant_id", "run_id") REFERENCES "service"."agent_runs"("tenant_id", "id")
    ON DELETE CASCADE ON UPDATE CASCADE;
ALTER TABLE "service"."run_events" ADD CONSTRAINT "run_events_tenant_id_run_id_fkey"
    FOREIGN KEY ("tenant_id", "run_id") REFERENCES "service"."agent_runs"("tenant_id", "id")
    ON DELETE CASCADE ON UPDATE CASCADE;

CREATE TRIGGER "step" AFTER INSERT ON "service"."tool_calls"
    FOR EACH ROW WHEN (NEW.step_id IS NOT NULL AND NEW.run_id IS NOT NULL)
    EXECUTE FUNCTION "service"."step_of_call"();
CREATE TRIGGER "note" AFTER INSERT ON "service"."audit_logs"
    FOR EACH ROW EXECUTE FUNCTION "service"."note_audit"();

ALTER TABLE "service"."agent_steps" ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE "service"."tool_calls" ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE "service"."run_events" ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE "service"."audit_logs" ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE "service"."usage_metrics" ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE "service"."agent_steps_default" ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE "service"."tool_calls_default" ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE "service"."run_events_default" ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE "service"."audit_logs_default" ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE "service"."usage_metrics_default" ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE "service"."agent_runs" FORCE ROW LEVEL SECURITY;

CREATE POLICY "tenant" ON "service"."agent_steps"
    USING ("tenant_id" = (SELECT "service"."current_tenant"()))
    WITH CHECK ("tenant_id" = (SELECT "service"."current_tenant"()));
CREATE POLICY "tenant" ON "service"."tool_calls"
    USING ("tenant_id" = (SELECT "service"."current_tenant"()))
    WITH CHECK ("tenant_id" = (SELECT "service"."current_tenant"()));
CREATE POLICY "tenant" ON "service"."run_events"
    USING ("tenant_id" = (SELECT "service"."current_tenant"()))
    WITH CHECK ("tenant_id" = (SELECT "service"."current_tenant"()));
CREATE POLICY "tenant" ON "service"."audit_logs"
    USING ("tenant_id" = (SELECT "service"."current_tenant"()))
    WITH CHECK ("tenant_id" = (SELECT "service"."current_tenant"()));
CREATE POLICY "tenant" ON "service"."usage_metrics"
    USING ("tenant_id" = (SELECT "service"."current_tenant"()))
    WITH CHECK ("tenant_id" = (SELECT "service"."current_tenant"()));
CREATE POLICY "tenant" ON "service"."agent_steps_default"
    USING ("tenant_id" = (SELECT "service"."current_tenant"()))
    WITH CHECK ("tenant_id" = (SELECT "service"."current_tenant"()));
CREATE POLICY "tenant" ON "service"."tool_calls_default"
    USING ("tenant_id" = (SELECT "service"."current_tenant"()))
    WITH CHECK ("tenant_id" = (SELECT "service"."current_tenant"()));
CREATE POLICY "tenant" ON "service"."run_events_default"
    USING ("tenant_id" = (SELECT "service"."current_tenant"()))
    WITH CHECK ("tenant_id" = (SELECT "service"."current_tenant"()));
CREATE POLICY "tenant" ON "service"."audit_logs_default"
    USING ("tenant_id" = (SELECT "service"."current_tenant"()))
    WITH CHECK ("tenant_id" = (SELECT "service"."current_tenant"()));
CREATE POLICY "tenant" ON "service"."usage_metrics_default"
    USING ("tenant_id" = (SELECT "service"."current_tenant"()))
    WITH CHECK ("tenant_id" = (SELECT "service"."current_tenant"()));
CREATE POLICY "sealer" ON "service"."audit_logs" FOR SELECT TO sba_sealer USING (true);

-- What the owner may see and delete of all tenants, for `sba-db retention`: strays, and what is over.
CREATE POLICY "keeper_select" ON "service"."agent_steps_default" FOR SELECT TO sba_owner USING (true);
CREATE POLICY "keeper_delete" ON "service"."agent_steps_default" FOR DELETE TO sba_owner USING (true);
CREATE POLICY "keeper_select" ON "service"."tool_calls_default" FOR SELECT TO sba_owner USING (true);
CREATE POLICY "keeper_delete" ON "service"."tool_calls_default" FOR DELETE TO sba_owner USING (true);
CREATE POLICY "keeper_select" ON "service"."run_events_default" FOR SELECT TO sba_owner USING (true);
CREATE POLICY "keeper_delete" ON "service"."run_events_default" FOR DELETE TO sba_owner USING (true);
CREATE POLICY "keeper_select" ON "service"."audit_logs_default" FOR SELECT TO sba_owner USING (true);
CREATE POLICY "keeper_delete" ON "service"."audit_logs_default" FOR DELETE TO sba_owner USING (true);
CREATE POLICY "keeper_select" ON "service"."usage_metrics_default" FOR SELECT TO sba_owner USING (true);
CREATE POLICY "keeper_delete" ON "service"."usage_metrics_default" FOR DELETE TO sba_owner USING (true);
CREATE POLICY "keeper_select" ON "service"."agent_runs" FOR SELECT TO sba_owner
    USING ("finished_at" IS NOT NULL);
CREATE POLICY "keeper_delete" ON "service"."agent_runs" FOR DELETE TO sba_owner
    USING ("finished_at" IS NOT NULL);
CREATE POLICY "keeper_select" ON "service"."idempotency_keys" FOR SELECT TO sba_owner
    USING ("expires_at" <= now());
CREATE POLICY "keeper_delete" ON "service"."idempotency_keys" FOR DELETE TO sba_owner
    USING ("expires_at" <= now());

GRANT SELECT, INSERT ON "service"."agent_steps", "service"."tool_calls", "service"."run_events", "service"."audit_logs"
    TO sba_app;
GRANT SELECT, INSERT, UPDATE ON "service"."usage_metrics" TO sba_app;
GRANT SELECT ON "service"."audit_logs" TO sba_sealer;

ANALYZE "service"."agent_steps", "service"."tool_calls", "service"."run_events", "service"."audit_logs",
    "service"."usage_metrics";
