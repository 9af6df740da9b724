-- A call is stored as running when it starts, and finished once. Nothing here reads or rewrites a row, and what the
-- release before writes, a call as a whole once it has ended, is still taken.

-- In the order in which writers take them.
LOCK TABLE "service"."agent_runs" IN SHARE ROW EXCLUSIVE MODE;

ALTER TABLE "service"."tool_calls"
    ADD COLUMN "attempt" INTEGER,
    ADD COLUMN "finished_at" TIMESTAMPTZ(6),
    ALTER COLUMN "duration_ms" DROP NOT NULL;

-- The rows that are there are looked at by the next migration, beside readers and writers. The status is compared as
-- text: up to Postgres 16 a new label may not be written in the transaction that made it, and `sba-db check` and
-- `sba-db migrate --dry-run` try all migrations in one.
ALTER TABLE "service"."tool_calls"
    ADD CONSTRAINT "tool_calls_attempt" CHECK (
        "attempt" IS NULL OR "attempt" >= 1 AND "run_id" IS NOT NULL
    ) NOT VALID,
    ADD CONSTRAINT "tool_calls_finish" CHECK (
        CASE
            WHEN "status"::TEXT = 'running' THEN "duration_ms" IS NULL AND "result" IS NULL AND "finished_at" IS NULL
            WHEN "status"::TEXT = 'lost' THEN "duration_ms" IS NULL AND "result" IS NULL AND "finished_at" IS NOT NULL
            ELSE "duration_ms" IS NOT NULL
        END
    ) NOT VALID;

CREATE FUNCTION "service"."ended_call"() RETURNS TRIGGER
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
begin
    raise check_violation using
        message = 'a call that has ended stays as it is', schema = 'service', table = 'tool_calls',
        constraint = 'tool_calls_final';
end;
$$;

-- Calls under a lease that nobody holds any more. In a trigger, since whoever waited for the run's row must see the
-- calls that were started meanwhile, and since no way to end a run or to take it over may leave one out.
CREATE FUNCTION "service"."lose_calls"() RETURNS TRIGGER
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
declare
    -- Clocks are at most an hour apart; of other versions no moment can be told.
    since constant uuid := case when substr(new.id::text, 15, 1) = '7'
        then service.first_id_at(greatest(service.moment_of(new.id) - interval '1 hour', 'epoch'))
        else '00000000-0000-0000-0000-000000000000' end;
begin
    update service.tool_calls c set status = 'lost', finished_at = clock_timestamp()
    where c.tenant_id = new.tenant_id and c.run_id = new.id and c.id >= since
      and c.status = 'running' and c.attempt is not null;
    return null;
end;
$$;

REVOKE ALL ON FUNCTION "service"."ended_call"(), "service"."lose_calls"() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION "service"."first_id_at"(TIMESTAMPTZ), "service"."moment_of"(UUID) TO sba_app;
GRANT UPDATE ("status", "step_id", "result", "error", "duration_ms", "finished_at") ON "service"."tool_calls" TO sba_app;

CREATE TRIGGER "final" BEFORE UPDATE ON "service"."tool_calls"
    FOR EACH ROW WHEN (OLD.status::TEXT <> 'running')
    EXECUTE FUNCTION "service"."ended_call"();
CREATE TRIGGER "step_at_end" AFTER UPDATE OF "step_id" ON "service"."tool_calls"
    FOR EACH ROW WHEN (NEW.step_id IS DISTINCT FROM OLD.step_id AND NEW.step_id IS NOT NULL)
    EXECUTE FUNCTION "service"."step_of_call"();
CREATE TRIGGER "calls" AFTER UPDATE OF "status", "lease_token" ON "service"."agent_runs"
    FOR EACH ROW
    WHEN (OLD.status = 'running' AND (NEW.status <> 'running' OR NEW.lease_token <> OLD.lease_token))
    EXECUTE FUNCTION "service"."lose_calls"();
