"""The tables of schema `service`, as schema.prisma declares them.

Generated from schema.prisma by `python -m tools.prisma generate`; do not edit.
"""

# schema.prisma sha256 d5e6b919ff4203d3394c4ae4741599e1880594a3fd76284accc4cd423b57d19e

from __future__ import annotations

from typing import Final

from sba_db.models.shape import Column, Index, Reference, Table

AGENT_RUNS: Final = Table(
    "agent_runs",
    columns=(
        Column("tenant_id", "uuid"),
        Column("id", "uuid"),
        Column("user_id", "uuid"),
        Column("status", "service.run_status", default="queued"),
        Column("prompt", "text"),
        Column("options", "jsonb", default="{}"),
        Column("result", "jsonb", nullable=True),
        Column("error", "jsonb", nullable=True),
        Column("attempt", "integer", default="0"),
        Column("lease_token", "bigint", default="0"),
        Column("lease_holder", "text", nullable=True),
        Column("lease_expires_at", "timestamp(6) with time zone", nullable=True),
        Column("step_seq", "integer", default="0"),
        Column("event_seq", "bigint", default="0"),
        Column("duration_ms", "integer", nullable=True),
        Column("created_at", "timestamp(6) with time zone", default="CURRENT_TIMESTAMP"),
        Column("started_at", "timestamp(6) with time zone", nullable=True),
        Column("finished_at", "timestamp(6) with time zone", nullable=True),
    ),
    primary_key=Index("agent_runs_pkey", ("tenant_id", "id"), unique=True),
    indexes=(Index("agent_runs_tenant_id_user_id_id_idx", ("tenant_id", "user_id", "id")),),
)

AGENT_STEPS: Final = Table(
    "agent_steps",
    columns=(
        Column("tenant_id", "uuid"),
        Column("id", "uuid"),
        Column("run_id", "uuid"),
        Column("seq", "integer"),
        Column("attempt", "integer"),
        Column("kind", "text"),
        Column("name", "text"),
        Column("status", "service.step_status"),
        Column("input", "jsonb"),
        Column("output", "jsonb", nullable=True),
        Column("error", "jsonb", nullable=True),
        Column("duration_ms", "integer", nullable=True),
        Column("created_at", "timestamp(6) with time zone", default="CURRENT_TIMESTAMP"),
    ),
    primary_key=Index("agent_steps_pkey", ("tenant_id", "run_id", "id"), unique=True),
    indexes=(Index("agent_steps_tenant_id_run_id_seq_key", ("tenant_id", "run_id", "seq"), unique=True),),
    references=(
        Reference(
            ("tenant_id", "run_id"),
            "agent_runs",
            ("tenant_id", "id"),
            on_delete="cascade",
            on_update="cascade",
        ),
    ),
)

TOOL_CALLS: Final = Table(
    "tool_calls",
    columns=(
        Column("tenant_id", "uuid"),
        Column("id", "uuid"),
        Column("run_id", "uuid", nullable=True),
        Column("step_id", "uuid", nullable=True),
        Column("user_id", "uuid", nullable=True),
        Column("name", "text"),
        Column("status", "service.tool_call_status"),
        Column("arguments", "jsonb"),
        Column("result", "jsonb", nullable=True),
        Column("error", "jsonb", nullable=True),
        Column("duration_ms", "integer", nullable=True),
        Column("created_at", "timestamp(6) with time zone", default="CURRENT_TIMESTAMP"),
        Column("attempt", "integer", nullable=True),
        Column("finished_at", "timestamp(6) with time zone", nullable=True),
    ),
    primary_key=Index("tool_calls_pkey", ("tenant_id", "id"), unique=True),
    indexes=(Index("tool_calls_tenant_id_run_id_id_idx", ("tenant_id", "run_id", "id")),),
    references=(
        Reference(
            ("tenant_id", "run_id"),
            "agent_runs",
            ("tenant_id", "id"),
            on_delete="cascade",
            on_update="cascade",
        ),
    ),
)

RUN_EVENTS: Final = Table(
    "run_events",
    columns=(
        Column("tenant_id", "uuid"),
        Column("run_id", "uuid"),
        Column("seq", "bigint"),
        Column("type", "text"),
        Column("data", "jsonb"),
        Column("created_at", "timestamp(6) with time zone", default="CURRENT_TIMESTAMP"),
    ),
    primary_key=Index("run_events_pkey", ("tenant_id", "run_id", "seq"), unique=True),
    references=(
        Reference(
            ("tenant_id", "run_id"),
            "agent_runs",
            ("tenant_id", "id"),
            on_delete="cascade",
            on_update="cascade",
        ),
    ),
)

IDEMPOTENCY_KEYS: Final = Table(
    "idempotency_keys",
    columns=(
        Column("tenant_id", "uuid"),
        Column("operation", "text"),
        Column("key", "text"),
        Column("request_hash", "text"),
        Column("resource_id", "uuid", nullable=True),
        Column("created_at", "timestamp(6) with time zone", default="CURRENT_TIMESTAMP"),
        Column("expires_at", "timestamp(6) with time zone"),
        Column("outcome", "jsonb", nullable=True),
    ),
    primary_key=Index("idempotency_keys_pkey", ("tenant_id", "operation", "key"), unique=True),
)

AUDIT_LOGS: Final = Table(
    "audit_logs",
    columns=(
        Column("tenant_id", "uuid"),
        Column("id", "uuid"),
        Column("actor_id", "uuid", nullable=True),
        Column("action", "text"),
        Column("resource_type", "text"),
        Column("resource_id", "text"),
        Column("before", "jsonb", nullable=True),
        Column("after", "jsonb", nullable=True),
        Column("request_id", "text", nullable=True),
        Column("created_at", "timestamp(6) with time zone", default="CURRENT_TIMESTAMP"),
    ),
    primary_key=Index("audit_logs_pkey", ("tenant_id", "id"), unique=True),
)

AUDIT_PENDING: Final = Table(
    "audit_pending",
    columns=(Column("tenant_id", "uuid"), Column("audit_id", "uuid")),
    primary_key=Index("audit_pending_pkey", ("tenant_id", "audit_id"), unique=True),
)

AUDIT_SEALS: Final = Table(
    "audit_seals",
    columns=(
        Column("tenant_id", "uuid"),
        Column("position", "bigint"),
        Column("audit_id", "uuid"),
        Column("row_hash", "bytea", nullable=True),
        Column("hash", "bytea"),
        Column("sealed_at", "timestamp(6) with time zone", default="CURRENT_TIMESTAMP"),
    ),
    primary_key=Index("audit_seals_pkey", ("tenant_id", "position"), unique=True),
    indexes=(Index("audit_seals_tenant_id_audit_id_key", ("tenant_id", "audit_id"), unique=True),),
)

AUDIT_CHECKPOINTS: Final = Table(
    "audit_checkpoints",
    columns=(
        Column("tenant_id", "uuid"),
        Column("before_id", "uuid"),
        Column("position", "bigint"),
        Column("hash", "bytea"),
        Column("created_by", "text"),
        Column("created_at", "timestamp(6) with time zone", default="CURRENT_TIMESTAMP"),
    ),
    primary_key=Index("audit_checkpoints_pkey", ("tenant_id", "before_id"), unique=True),
)

USAGE_METRICS: Final = Table(
    "usage_metrics",
    columns=(
        Column("tenant_id", "uuid"),
        Column("period", "timestamp(6) with time zone"),
        Column("metric", "text"),
        Column("value", "numeric(24,6)"),
        Column("updated_at", "timestamp(6) with time zone", default="CURRENT_TIMESTAMP"),
    ),
    primary_key=Index("usage_metrics_pkey", ("tenant_id", "period", "metric"), unique=True),
)

SYSTEM_HEALTH: Final = Table(
    "system_health",
    columns=(
        Column("id", "uuid"),
        Column("component", "text"),
        Column("status", "service.health_status"),
        Column("detail", "jsonb", default="{}"),
        Column("created_at", "timestamp(6) with time zone", default="CURRENT_TIMESTAMP"),
    ),
    primary_key=Index("system_health_pkey", ("id",), unique=True),
    indexes=(Index("system_health_component_id_idx", ("component", "id")),),
)

TABLES: Final = (
    AGENT_RUNS,
    AGENT_STEPS,
    TOOL_CALLS,
    RUN_EVENTS,
    IDEMPOTENCY_KEYS,
    AUDIT_LOGS,
    AUDIT_PENDING,
    AUDIT_SEALS,
    AUDIT_CHECKPOINTS,
    USAGE_METRICS,
    SYSTEM_HEALTH,
)

ENUMS: Final = {
    "run_status": ("queued", "running", "succeeded", "failed", "cancelled"),
    "step_status": ("succeeded", "failed"),
    "tool_call_status": ("running", "succeeded", "failed", "lost"),
    "health_status": ("ok", "degraded", "down"),
}
