"""Which tools there are, and the one way to run one: checked arguments, a time limit, a span."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from pydantic import BaseModel, ValidationError

from sba_agents import conventions
from sba_agents.errors import FieldError, InvalidArguments, ToolFailed, UnknownTool
from sba_agents.tools.calculator import Calculator
from sba_agents.tools.knowledge_search import KnowledgeSearch
from sba_agents.tools.tool import Json, Tool, ToolContext
from sba_db import InvalidValue, PayloadTooLarge, payloads
from sba_telemetry import traces

DEFAULT_TIMEOUT: Final = 30.0


@dataclass(frozen=True, slots=True)
class ToolDescription:
    """A tool as a caller sees it.

    Attributes:
        name: What to call it by.
        description: What it does.
        parameters: JSON schema of its arguments.
    """

    name: str
    description: str
    parameters: Mapping[str, Any]


class ToolRegistry:
    """The tools of one process, by name.

    Args:
        tools: Each with a name of its own.
        timeout: Seconds a single execution may take.

    Raises:
        ValueError: Two tools share a name.
    """

    def __init__(self, tools: Iterable[Tool], *, timeout: float = DEFAULT_TIMEOUT) -> None:
        self._tools: dict[str, Tool] = {}
        self._timeout = timeout
        for tool in tools:
            if tool.name in self._tools:
                raise ValueError(f"two tools are named {tool.name!r}")
            self._tools[tool.name] = tool

    def describe(self) -> list[ToolDescription]:
        """Every tool, by name."""
        return [
            ToolDescription(tool.name, tool.description, tool.Arguments.model_json_schema())
            for _, tool in sorted(self._tools.items())
        ]

    def get(self, name: str) -> Tool:
        """The tool of that name.

        Raises:
            UnknownTool: There is none.
        """
        try:
            return self._tools[name]
        except KeyError:
            raise UnknownTool(name) from None

    async def execute(self, name: str, arguments: Mapping[str, Any], context: ToolContext) -> Json:
        """Check the arguments, then run the tool within its time limit.

        Args:
            name: The tool.
            arguments: A JSON object.
            context: On whose behalf.

        Returns:
            The tool's JSON object.

        Raises:
            UnknownTool: There is no such tool.
            InvalidArguments: Names every field that does not fit.
            ToolFailed: The tool's own reason, `tool_timeout`, or `result_too_large` and `result_not_storable`
                for what no tool call could hold.
        """
        tool = self.get(name)
        checked = _checked(tool, arguments)
        told = {conventions.OPERATION: conventions.EXECUTE_TOOL, conventions.TOOL_NAME: name}
        with traces.span(conventions.EXECUTE_TOOL, attributes=told):
            return _storable(await self._within_limit(tool, context, checked))

    async def _within_limit(self, tool: Tool, context: ToolContext, checked: BaseModel) -> Json:
        limit = asyncio.timeout(self._timeout)
        try:
            async with limit:
                return await tool.execute(context, checked)
        except TimeoutError:
            if not limit.expired():
                raise
            raise ToolFailed("tool_timeout", f"{tool.name} took longer than {self._timeout:g} s") from None


def default_registry() -> ToolRegistry:
    """The tools that need no model and no network: `calculator` and `knowledge.search`."""
    return ToolRegistry([Calculator(), KnowledgeSearch()])


def _checked(tool: Tool, arguments: Mapping[str, Any]) -> BaseModel:
    try:
        return tool.Arguments.model_validate(dict(arguments))
    except ValidationError as error:
        raise InvalidArguments(tool.name, _field_errors(error)) from None


def _storable(result: Json) -> Json:
    try:
        payloads.document("result", result, limit=payloads.DOCUMENT)
    except PayloadTooLarge as error:
        raise ToolFailed("result_too_large", f"the result has more than {error.limit} bytes") from None
    except InvalidValue as error:
        raise ToolFailed("result_not_storable", str(error)) from None
    return result


def _field_errors(error: ValidationError) -> list[FieldError]:
    listed = error.errors(include_url=False, include_context=False, include_input=False)
    return [FieldError(".".join(str(part) for part in each["loc"]), each["msg"]) for each in listed]
