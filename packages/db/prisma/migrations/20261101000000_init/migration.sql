CREATE SCHEMA IF NOT EXISTS "service";

CREATE TYPE "service"."run_status" AS ENUM ('queued', 'running', 'succeeded', 'failed', 'cancelled');
CREATE TYPE "service"."step_status" AS ENUM ('succeeded', 'failed');
CREATE TYPE "service"."tool_call_status" AS ENUM ('succeeded', 'failed');
CREATE TYPE "service"."health_status" AS ENUM ('ok', 'degraded', 'down');

CREATE TABLE "service"."agent_runs" (
    "tenant_id" UUID NOT NULL,
    "id" UUID NOT NULL,
    "user_id" UUID NOT NULL,
    "status" "service"."run_status" NOT NULL DEFAULT 'queued',
    "prompt" TEXT NOT NULL,
    "options" JSONB NOT NULL DEFAULT '{}',
    "result" JSONB,
    "error" JSONB,
    "attempt" INTEGER NOT NULL DEFAULT 0,
    "lease_token" BIGINT NOT NULL DEFAULT 0,
    "lease_holder" TEXT,
    "lease_expires_at" TIMESTAMPTZ(6),
    "step_seq" INTEGER NOT NULL DEFAULT 0,
    "event_seq" BIGINT NOT NULL DEFAULT 0,
    "duration_ms" INTEGER,
    "created_at" TIMESTAMPTZ(6) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "started_at" TIMESTAMPTZ(6),
    "finished_at" TIMESTAMPTZ(6),

    CONSTRAINT "agent_runs_pkey" PRIMARY KEY ("tenant_id", "id"),
    CONSTRAINT "agent_runs_prompt_size" CHECK (octet_length("prompt") BETWEEN 1 AND 32768),
    CONSTRAINT "agent_runs_counters" CHECK (
        "attempt" >= 0 AND "lease_token" >= 0 AND "step_seq" >= 0 AND "event_seq" >= 0 AND "duration_ms" >= 0
    ),
    CONSTRAINT "agent_runs_lease" CHECK (
        ("status" = 'running') = ("lease_holder" IS NOT NULL)
        AND ("lease_holder" IS NULL) = ("lease_expires_at" IS NULL)
    ),
    CONSTRAINT "agent_runs_finish" CHECK (
        ("status" IN ('succeeded', 'failed', 'cancelled')) = ("finished_at" IS NOT NULL)
        AND ("result" IS NULL OR "status" = 'succeeded')
        AND ("error" IS NOT NULL) = ("status" = 'failed')
    )
);

CREATE TABLE "service"."agent_steps" (
    "tenant_id" UUID NOT NULL,
    "id" UUID NOT NULL,
    "run_id" UUID NOT NULL,
    "seq" INTEGER NOT NULL,
    "attempt" INTEGER NOT NULL,
    "kind" TEXT NOT NULL,
    "name" TEXT NOT NULL,
    "status" "service"."step_status" NOT NULL,
    "input" JSONB NOT NULL,
    "output" JSONB,
    "error" JSONB,
    "duration_ms" INTEGER,
    "created_at" TIMESTAMPTZ(6) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "agent_steps_pkey" PRIMARY KEY ("tenant_id", "id"),
    CONSTRAINT "agent_steps_counters" CHECK ("seq" >= 1 AND "attempt" >= 1 AND "duration_ms" >= 0),
    CONSTRAINT "agent_steps_names" CHECK (
        octet_length("kind") BETWEEN 1 AND 100 AND octet_length("name") BETWEEN 1 AND 200
    ),
    CONSTRAINT "agent_steps_error" CHECK (("error" IS NOT NULL) = ("status" = 'failed'))
);

CREATE TABLE "service"."tool_calls" (
    "tenant_id" UUID NOT NULL,
    "id" UUID NOT NULL,
    "run_id" UUID,
    "step_id" UUID,
    "user_id" UUID,
    "name" TEXT NOT NULL,
    "status" "service"."tool_call_status" NOT NULL,
    "arguments" JSONB NOT NULL,
    "result" JSONB,
    "error" JSONB,
    "duration_ms" INTEGER NOT NULL,
    "created_at" TIMESTAMPTZ(6) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "tool_calls_pkey" PRIMARY KEY ("tenant_id", "id"),
    CONSTRAINT "tool_calls_duration" CHECK ("duration_ms" >= 0),
    CONSTRAINT "tool_calls_name" CHECK (octet_length("name") BETWEEN 1 AND 200),
    CONSTRAINT "tool_calls_step_of_run" CHECK ("step_id" IS NULL OR "run_id" IS NOT NULL),
    CONSTRAINT "tool_calls_error" CHECK (("error" IS NOT NULL) = ("status" = 'failed'))
);

CREATE TABLE "service"."run_events" (
    "tenant_id" UUID NOT NULL,
    "run_id" UUID NOT NULL,
    "seq" BIGINT NOT NULL,
    "type" TEXT NOT NULL,
    "data" JSONB NOT NULL,
    "created_at" TIMESTAMPTZ(6) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "run_events_pkey" PRIMARY KEY ("tenant_id", "run_id", "seq"),
    CONSTRAINT "run_events_seq" CHECK ("seq" >= 1),
    CONSTRAINT "run_events_type" CHECK (octet_length("type") BETWEEN 1 AND 100)
);

CREATE TABLE "service"."idempotency_keys" (
    "tenant_id" UUID NOT NULL,
    "operation" TEXT NOT NULL,
    "key" TEXT NOT NULL,
    "request_hash" TEXT NOT NULL,
    "resource_id" UUID NOT NULL,
    "created_at" TIMESTAMPTZ(6) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "expires_at" TIMESTAMPTZ(6) NOT NULL,

    CONSTRAINT "idempotency_keys_pkey" PRIMARY KEY ("tenant_id", "operation", "key"),
    CONSTRAINT "idempotency_keys_key" CHECK (octet_length("key") BETWEEN 1 AND 255)
);

CREATE TABLE "service"."audit_logs" (
    "tenant_id" UUID NOT NULL,
    "id" UUID NOT NULL,
    "actor_id" UUID,
    "action" TEXT NOT NULL,
    "resource_type" TEXT NOT NULL,
    "resource_id" TEXT NOT NULL,
    "before" JSONB,
    "after" JSONB,
    "request_id" TEXT,
    "created_at" TIMESTAMPTZ(6) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "audit_logs_pkey" PRIMARY KEY ("tenant_id", "id"),
    CONSTRAINT "audit_logs_names" CHECK (
        octet_length("action") BETWEEN 1 AND 100
        AND octet_length("resource_type") BETWEEN 1 AND 100
        AND octet_length("resource_id") BETWEEN 1 AND 200
    )
);

CREATE TABLE "service"."usage_metrics" (
    "tenant_id" UUID NOT NULL,
    "period" TIMESTAMPTZ(6) NOT NULL,
    "metric" TEXT NOT NULL,
    "value" DECIMAL(24,6) NOT NULL,
    "updated_at" TIMESTAMPTZ(6) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "usage_metrics_pkey" PRIMARY KEY ("tenant_id", "period", "metric"),
    CONSTRAINT "usage_metrics_metric" CHECK (octet_length("metric") BETWEEN 1 AND 100),
    CONSTRAINT "usage_metrics_value" CHECK ("value" >= 0)
);

CREATE TABLE "service"."system_health" (
    "id" UUID NOT NULL,
    "component" TEXT NOT NULL,
    "status" "service"."health_status" NOT NULL,
    "detail" JSONB NOT NULL DEFAULT '{}',
    "created_at" TIMESTAMPTZ(6) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "system_health_pkey" PRIMARY KEY ("id"),
    CONSTRAINT "system_health_component" CHECK (octet_length("component") BETWEEN 1 AND 100)
);

CREATE INDEX "agent_runs_tenant_id_status_id_idx" ON "service"."agent_runs"("tenant_id", "status", "id");
CREATE UNIQUE INDEX "agent_steps_tenant_id_run_id_seq_key" ON "service"."agent_steps"("tenant_id", "run_id", "seq");
CREATE INDEX "tool_calls_tenant_id_run_id_id_idx" ON "service"."tool_calls"("tenant_id", "run_id", "id");
CREATE INDEX "tool_calls_tenant_id_step_id_idx" ON "service"."tool_calls"("tenant_id", "step_id");
CREATE INDEX "system_health_component_id_idx" ON "service"."system_health"("component", "id");

ALTER TABLE "service"."agent_steps" ADD CONSTRAINT "agent_steps_tenant_id_run_id_fkey"
    FOREIGN KEY ("tenant_id", "run_id") REFERENCES "service"."agent_runs"("tenant_id", "id")
    ON DELETE CASCADE ON UPDATE CASCADE;
ALTER TABLE "service"."tool_calls" ADD CONSTRAINT "tool_calls_tenant_id_run_id_fkey"
    FOREIGN KEY ("tenant_id", "run_id") REFERENCES "service"."agent_runs"("tenant_id", "id")
    ON DELETE CASCADE ON UPDATE CASCADE;
ALTER TABLE "service"."tool_calls" ADD CONSTRAINT "tool_calls_tenant_id_step_id_fkey"
    FOREIGN KEY ("tenant_id", "step_id") REFERENCES "service"."agent_steps"("tenant_id", "id")
    ON DELETE CASCADE ON UPDATE CASCADE;
ALTER TABLE "service"."run_events" ADD CONSTRAINT "run_events_tenant_id_run_id_fkey"
    FOREIGN KEY ("tenant_id", "run_id") REFERENCES "service"."agent_runs"("tenant_id", "id")
    ON DELETE CASCADE ON UPDATE CASCADE;

-- The tenant of the transaction. An unset setting reads NULL on a fresh session and '' on a reused one: both mean none.
CREATE FUNCTION "service"."current_tenant"() RETURNS UUID
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN nullif(pg_catalog.current_setting('app.tenant_id', true), '')::pg_catalog.uuid;

ALTER TABLE "service"."agent_runs" ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE "service"."agent_steps" ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE "service"."tool_calls" ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE "service"."run_events" ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE "service"."idempotency_keys" ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE "service"."audit_logs" ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE "service"."usage_metrics" ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;

CREATE POLICY "tenant" ON "service"."agent_runs"
    USING ("tenant_id" = (SELECT "service"."current_tenant"()))
    WITH CHECK ("tenant_id" = (SELECT "service"."current_tenant"()));
CREATE POLICY "tenant" ON "service"."agent_steps"
    USING ("tenant_id" = (SELECT "service"."current_tenant"()))
    WITH CHECK ("tenant_id" = (SELECT "service"."current_tenant"()));
CREATE POLICY "tenant" ON "service"."tool_calls"
    USING ("tenant_id" = (SELECT "service"."current_tenant"()))
    WITH CHECK ("tenant_id" = (SELECT "service"."current_tenant"()));
CREATE POLICY "tenant" ON "service"."run_events"
    USING ("tenant_id" = (SELECT "service"."current_tenant"()))
    WITH CHECK ("tenant_id" = (SELECT "service"."current_tenant"()));
CREATE POLICY "tenant" ON "service"."idempotency_keys"
    USING ("tenant_id" = (SELECT "service"."current_tenant"()))
    WITH CHECK ("tenant_id" = (SELECT "service"."current_tenant"()));
CREATE POLICY "tenant" ON "service"."audit_logs"
    USING ("tenant_id" = (SELECT "service"."current_tenant"()))
    WITH CHECK ("tenant_id" = (SELECT "service"."current_tenant"()));
CREATE POLICY "tenant" ON "service"."usage_metrics"
    USING ("tenant_id" = (SELECT "service"."current_tenant"()))
    WITH CHECK ("tenant_id" = (SELECT "service"."current_tenant"()));

REVOKE ALL ON FUNCTION "service"."current_tenant"() FROM PUBLIC;
GRANT USAGE ON SCHEMA "service" TO sba_app;
GRANT EXECUTE ON FUNCTION "service"."current_tenant"() TO sba_app;
GRANT SELECT, INSERT, UPDATE ON "service"."agent_runs", "service"."idempotency_keys", "service"."usage_metrics" TO sba_app;
GRANT SELECT, INSERT
    ON "service"."agent_steps", "service"."tool_calls", "service"."run_events", "service"."audit_logs", "service"."system_health"
    TO sba_app;
