-- As for queued runs.
CREATE INDEX CONCURRENTLY "agent_runs_running_idx" ON "service"."agent_runs"("tenant_id", "id") WHERE "status" = 'running';
