"""What decides how a prompt is answered."""

from __future__ import annotations

from typing import Protocol

from sba_agents.context import RunContext
from sba_agents.tools.tool import Json


class Runner(Protocol):
    """Turns a prompt into a result through durable steps.

    A runner may be started again after a crash: everything it does to the world, and everything that could
    come out differently a second time, goes through `context.step` or `context.tool`.
    """

    async def run(self, context: RunContext) -> Json:
        """Answer the prompt.

        Args:
            context: The prompt, its options, and the way to do durable work.

        Returns:
            The run's result, a JSON object.

        Raises:
            Failed: The run ends `failed` with this reason.
        """
        ...
