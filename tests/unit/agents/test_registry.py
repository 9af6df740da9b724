"""The registry: one way to find, check and run a tool."""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

import pytest
from pydantic import Field

from sba_agents.errors import InvalidArguments, ToolFailed, UnknownTool
from sba_agents.registry import ToolRegistry, default_registry
from sba_agents.tools import Arguments, Calculator, Json, ToolContext

NOBODY: Any = ToolContext(reader=None)  # type: ignore[arg-type]  # these tools read nothing


class Sizes(Arguments):
    width: int = Field(ge=1)
    name: str


class Measure:
    name: ClassVar[str] = "measure"
    description: ClassVar[str] = "Measures."
    Arguments: ClassVar[type[Sizes]] = Sizes

    async def execute(self, context: ToolContext, arguments: Sizes) -> Json:
        return {"width": arguments.width, "name": arguments.name}


class Talker(Measure):
    async def execute(self, context: ToolContext, arguments: Sizes) -> Json:
        return {"said": arguments.name * arguments.width}


class Sleeper(Measure):
    async def execute(self, context: ToolContext, arguments: Sizes) -> Json:
        await asyncio.Event().wait()
        return {}


class Impatient(Measure):
    async def execute(self, context: ToolContext, arguments: Sizes) -> Json:
        raise TimeoutError("its own")


@pytest.mark.parametrize(
    ("name", "width", "code"), [("é", 131_072, "result_too_large"), ("\0", 1, "result_not_storable")]
)
async def test_a_result_that_no_tool_call_could_hold_is_the_tools_failure(
    name: str, width: int, code: str
) -> None:
    with pytest.raises(ToolFailed) as failed:
        await ToolRegistry([Talker()]).execute("measure", {"width": width, "name": name}, NOBODY)
    assert failed.value.code == code


@pytest.mark.parametrize("width", ["5", True, 5.0, None])
async def test_an_argument_of_another_type_is_refused(width: object) -> None:
    with pytest.raises(InvalidArguments) as refused:
        await ToolRegistry([Measure()]).execute("measure", {"width": width, "name": "x"}, NOBODY)
    assert [error.field for error in refused.value.errors] == ["width"]


def test_it_describes_each_tool_with_a_json_schema() -> None:
    described = default_registry().describe()
    assert [tool.name for tool in described] == ["calculator", "knowledge.search"]
    assert described[0].parameters["required"] == ["expression"]
    assert described[1].parameters["properties"]["limit"]["maximum"] == 50
    assert all(tool.description for tool in described)


async def test_it_runs_a_tool_with_checked_arguments() -> None:
    registry = ToolRegistry([Measure()])
    assert await registry.execute("measure", {"width": 2, "name": " a "}, NOBODY) == {"width": 2, "name": "a"}


async def test_the_calculator_answers_with_text() -> None:
    result = await default_registry().execute("calculator", {"expression": "2*(3+4)"}, NOBODY)
    assert result == {"expression": "2*(3+4)", "result": "14"}


async def test_an_unknown_tool_is_named() -> None:
    with pytest.raises(UnknownTool, match="'nope'") as caught:
        await default_registry().execute("nope", {}, NOBODY)
    assert (caught.value.name, caught.value.code) == ("nope", "unknown_tool")


async def test_every_wrong_field_is_named_and_no_value_is_shown() -> None:
    with pytest.raises(InvalidArguments) as caught:
        await ToolRegistry([Measure()]).execute("measure", {"width": 0, "extra": "s3cret"}, NOBODY)
    assert {error.field for error in caught.value.errors} == {"width", "name", "extra"}
    assert "s3cret" not in str(caught.value)
    assert caught.value.code == "invalid_arguments"


async def test_a_tool_that_takes_too_long_is_stopped() -> None:
    with pytest.raises(ToolFailed, match="longer than") as caught:
        await ToolRegistry([Sleeper()], timeout=0.01).execute("measure", {"width": 1, "name": "a"}, NOBODY)
    assert caught.value.code == "tool_timeout"


async def test_a_tools_own_timeout_is_not_taken_for_the_registrys() -> None:
    with pytest.raises(TimeoutError, match="its own"):
        await ToolRegistry([Impatient()]).execute("measure", {"width": 1, "name": "a"}, NOBODY)


def test_two_tools_cannot_share_a_name() -> None:
    with pytest.raises(ValueError, match="calculator"):
        ToolRegistry([Calculator(), Calculator()])
