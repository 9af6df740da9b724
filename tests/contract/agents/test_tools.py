"""What every tool of the default registry keeps to."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from sba_agents.errors import InvalidArguments
from sba_agents.registry import ToolRegistry, default_registry
from sba_agents.tools import ToolContext
from sba_db.database import Database
from tests.fixtures.databases import Tenant

REGISTRY: ToolRegistry = default_registry()
SAMPLES: dict[str, dict[str, Any]] = {
    "calculator": {"expression": "1 + 1"},
    "knowledge.search": {"query": "anything"},
}
NAMES = [tool.name for tool in REGISTRY.describe()]


def test_every_tool_has_a_sample_here() -> None:
    assert sorted(SAMPLES) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_tool_describes_itself_to_a_model(name: str) -> None:
    (described,) = (tool for tool in REGISTRY.describe() if tool.name == name)
    assert re.fullmatch(r"[a-z]+(\.[a-z_]+)*", described.name)
    assert described.description.endswith(".")
    assert described.parameters["type"] == "object"
    assert described.parameters["additionalProperties"] is False
    json.dumps(described.parameters)


@pytest.mark.parametrize("name", NAMES)
async def test_a_tool_answers_with_a_json_object(
    name: str, database: Database, tenants: tuple[Tenant, Tenant]
) -> None:
    context = ToolContext(reader=database.reader(tenants[0].id), user_id=tenants[0].user)
    result = await REGISTRY.execute(name, SAMPLES[name], context)
    assert json.loads(json.dumps(result)) == result


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("wrong", [{}, {"surprise": 1}])
async def test_a_tool_refuses_arguments_it_does_not_know(
    name: str, wrong: dict[str, Any], database: Database, tenants: tuple[Tenant, Tenant]
) -> None:
    context = ToolContext(reader=database.reader(tenants[0].id))
    with pytest.raises(InvalidArguments) as caught:
        await REGISTRY.execute(name, wrong, context)
    assert all(error.message for error in caught.value.errors)


async def test_a_query_that_cannot_be_stored_names_its_field(
    database: Database, tenants: tuple[Tenant, Tenant]
) -> None:
    context = ToolContext(reader=database.reader(tenants[0].id))
    with pytest.raises(InvalidArguments) as caught:
        await REGISTRY.execute("knowledge.search", {"query": "a\x00b"}, context)
    assert [error.field for error in caught.value.errors] == ["query"]
