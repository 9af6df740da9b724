-- Nothing the application sends could use it; each status has an index of its own now.
DROP INDEX CONCURRENTLY IF EXISTS "service"."agent_runs_tenant_id_status_id_idx";
