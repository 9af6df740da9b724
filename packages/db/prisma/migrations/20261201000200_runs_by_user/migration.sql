-- Built beside running writes: a list of one user's runs must not wait for it, nor writes.
CREATE INDEX CONCURRENTLY "agent_runs_tenant_id_user_id_id_idx" ON "service"."agent_runs"("tenant_id", "user_id", "id");
