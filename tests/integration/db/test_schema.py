"""schema.prisma, the migrated database and the dataclasses say the same."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

import psycopg
import pytest

from sba_db import models
from sba_db.migrate import migrations_folder

TYPES = {
    "String": "text",
    "Int": "integer",
    "BigInt": "bigint",
    "Json": "jsonb",
    "@db.Uuid": "uuid",
    "@db.Timestamptz(6)": "timestamp with time zone",
    "@db.Decimal(24, 6)": "numeric",
}
COLUMNS = """
select table_name, column_name, data_type, udt_name, is_nullable = 'YES' as nullable
from information_schema.columns where table_schema = 'service' and table_name not like '\\_%'
order by table_name, ordinal_position
"""
ENUMS = """
select t.typname as name, array_agg(e.enumlabel::text order by e.enumsortorder) as labels
from pg_type t join pg_enum e on e.enumtypid = t.oid
where t.typnamespace = 'service'::regnamespace group by 1
"""
MODELS = {
    "agent_runs": models.AgentRun,
    "agent_steps": models.AgentStep,
    "tool_calls": models.ToolCall,
    "run_events": models.RunEvent,
    "idempotency_keys": models.IdempotencyKey,
    "audit_logs": models.AuditLog,
    "usage_metrics": models.UsageMetric,
    "system_health": models.SystemHealth,
}
STATUSES = {
    "run_status": models.RunStatus,
    "step_status": models.StepStatus,
    "tool_call_status": models.ToolCallStatus,
    "health_status": models.HealthStatus,
}


def blocks(kind: str) -> dict[str, list[str]]:
    text = Path(migrations_folder().parent / "schema.prisma").read_text()
    found = re.findall(rf"^{kind} (\w+) \{{\n(.*?)^\}}", text, re.M | re.S)
    return {name: [line.strip() for line in body.splitlines() if line.strip()] for name, body in found}


def mapped(lines: list[str]) -> str:
    return next(re.search(r'@@map\("(\w+)"\)', line)[1] for line in lines if line.startswith("@@map"))


def prisma_tables() -> dict[str, dict[str, tuple[str, bool]]]:
    entities, enums = blocks("model"), blocks("enum")
    names = {name: mapped(lines) for name, lines in enums.items()}
    tables: dict[str, dict[str, tuple[str, bool]]] = {}
    for lines in entities.values():
        columns: dict[str, tuple[str, bool]] = {}
        for line in (one for one in lines if not one.startswith("@@")):
            field, kind = line.split()[:2]
            bare = kind.rstrip("?[]")
            if bare in entities:
                continue
            column = re.search(r'@map\("(\w+)"\)', line)
            native = re.search(r"@db\.\w+(\([\d, ]+\))?", line)
            columns[column[1] if column else field] = (
                names.get(bare) or TYPES[native[0] if native else bare],
                kind.endswith("?"),
            )
        tables[mapped(lines)] = columns
    return tables


def migrated_tables(superuser: psycopg.Connection[dict[str, Any]]) -> dict[str, dict[str, tuple[str, bool]]]:
    tables: dict[str, dict[str, tuple[str, bool]]] = {}
    for row in superuser.execute(COLUMNS):
        kind = row["udt_name"] if row["data_type"] == "USER-DEFINED" else row["data_type"]
        tables.setdefault(row["table_name"], {})[row["column_name"]] = (kind, row["nullable"])
    return tables


def test_every_prisma_model_is_the_migrated_table_column_by_column(superuser):
    assert prisma_tables() == migrated_tables(superuser)


def test_every_prisma_enum_has_the_labels_of_the_migrated_type(superuser):
    migrated = {row["name"]: row["labels"] for row in superuser.execute(ENUMS)}

    declared = {mapped(lines): [one for one in lines if one[0] != "@"] for lines in blocks("enum").values()}

    assert declared == migrated


def test_every_prisma_model_and_enum_lives_in_schema_service():
    for lines in [*blocks("model").values(), *blocks("enum").values()]:
        assert '@@schema("service")' in lines


@pytest.mark.parametrize(("table", "model"), MODELS.items())
def test_a_row_dataclass_has_the_columns_of_its_table(superuser, table, model):
    assert [field.name for field in dataclasses.fields(model)] == list(migrated_tables(superuser)[table])


def test_every_table_has_a_row_dataclass(superuser):
    assert MODELS.keys() == migrated_tables(superuser).keys()


@pytest.mark.parametrize(("name", "kind"), STATUSES.items())
def test_a_python_enumeration_has_the_labels_of_its_type(superuser, name, kind):
    migrated = {row["name"]: row["labels"] for row in superuser.execute(ENUMS)}

    assert [str(one) for one in kind] == migrated[name]
