"""What a runner holds: the prompt, and the ways to do work that survives a crash."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, cast
from uuid import UUID

from sba_agents.errors import Failed, InvalidArguments, ToolFailed, UnknownTool
from sba_agents.ledger import Ledger, Step
from sba_agents.registry import ToolRegistry
from sba_agents.tools.tool import Json, ToolContext
from sba_db.models import AgentRun, AgentStep


class RunContext:
    """One attempt at one run.

    Attributes:
        prompt: What was asked.
        options: How to answer it; whatever the caller gave.
        run_id: The run.
        tenant_id: Its tenant.
        user_id: Who asked.
    """

    def __init__(
        self,
        run: AgentRun,
        *,
        ledger: Ledger,
        registry: ToolRegistry,
        tools: ToolContext,
        clock: Callable[[], float],
    ) -> None:
        self.prompt = run.prompt
        self.options: Mapping[str, Any] = run.options
        self.run_id: UUID = run.id
        self.tenant_id: UUID = run.tenant_id
        self.user_id: UUID = run.user_id
        self._ledger = ledger
        self._registry = registry
        self._tools = tools
        self._clock = clock
        self._calls: Counter[str] = Counter()

    async def step(
        self,
        name: str,
        *,
        kind: str,
        input: Json,  # noqa: A002 - the public word
        run: Callable[[], Awaitable[Json]],
    ) -> Json:
        """Do a piece of work once, however often the run is taken up again.

        Args:
            name: Unique in the run, and the same in every attempt.
            kind: What sort of work, for people.
            input: What the work depends on; the same in every attempt.
            run: The work. It is not called if an earlier attempt has committed the step.

        Returns:
            What the work returned, now or in the attempt that committed it.

        Raises:
            Failed: The work's own failure, which is committed as well; or StepReused, StepChanged.
            LeaseLost: Another worker holds the run.
        """
        return await self._once(name, kind, input, run, tool=None)

    async def tool(self, name: str, arguments: Json) -> Json:
        """Use a tool as a durable step.

        Args:
            name: A tool of the registry.
            arguments: A JSON object.

        Returns:
            The tool's result.

        Raises:
            ToolFailed: The tool's reason, `unknown_tool` or `invalid_arguments`; committed too.
            LeaseLost: Another worker holds the run.
        """
        self._calls[name] += 1
        step = f"{name}#{self._calls[name]}"

        async def call() -> Json:
            try:
                return await self._registry.execute(name, arguments, self._tools)
            except (UnknownTool, InvalidArguments) as error:
                raise ToolFailed(error.code, str(error)) from error

        return await self._once(step, "tool", arguments, call, tool=name)

    async def _once(
        self, name: str, kind: str, asked: Json, run: Callable[[], Awaitable[Json]], *, tool: str | None
    ) -> Json:
        done = self._ledger.begin(name, asked)
        if done is not None:
            return _replayed(done, tool)
        call = None if tool is None else await self._ledger.call(tool, asked, user_id=self.user_id)
        started = self._clock()
        output, failure = await _outcome(run)
        took = round((self._clock() - started) * 1000)
        await self._ledger.commit(Step(name, kind, asked, output, failure, took, call))
        if failure is not None:
            raise failure
        return cast("Json", output)


async def _outcome(run: Callable[[], Awaitable[Json]]) -> tuple[Json | None, Failed | None]:
    try:
        return await run(), None
    except Failed as failure:
        return None, failure


def _replayed(step: AgentStep, tool: str | None) -> Json:
    if step.error is None:
        return cast("Json", step.output)
    kind = Failed if tool is None else ToolFailed
    raise kind(step.error["code"], step.error["message"])
