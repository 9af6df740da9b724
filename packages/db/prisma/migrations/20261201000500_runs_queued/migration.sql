-- An index for each status, built beside running writes. One over the status is of no use to the application:
-- Postgres lets nothing that is not leakproof, as comparing enumerations is not, go before the policy that binds it.
-- That a row is in an index of its status alone needs no comparison: it is proven when the statement is planned.
CREATE INDEX CONCURRENTLY "agent_runs_queued_idx" ON "service"."agent_runs"("tenant_id", "id") WHERE "status" = 'queued';
