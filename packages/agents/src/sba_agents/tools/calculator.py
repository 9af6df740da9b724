"""The calculator: exact decimal arithmetic from text."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import BaseModel, Field

from sba_agents.tools.arithmetic import MAX_LENGTH, evaluate, plain
from sba_agents.tools.tool import Arguments, Json, ToolContext


class CalculatorArguments(Arguments):
    """What to calculate."""

    expression: Annotated[str, Field(min_length=1, max_length=MAX_LENGTH, examples=["2 * (3 + 4)"])]


class Calculator:
    """Evaluates arithmetic; see `arithmetic.evaluate` for what it understands and its bounds."""

    name: ClassVar[str] = "calculator"
    description: ClassVar[str] = (
        "Evaluates an arithmetic expression with + - * / % ^ and parentheses in exact decimal arithmetic."
    )
    Arguments: ClassVar[type[BaseModel]] = CalculatorArguments

    async def execute(self, _context: ToolContext, arguments: CalculatorArguments) -> Json:
        """The result as text, so that no digit is lost: `{"expression", "result"}`."""
        result = plain(evaluate(arguments.expression))
        return {"expression": arguments.expression, "result": result}
