"""A hard bound on how long a request may take."""

from __future__ import annotations

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sba_api.problems import TIMED_OUT, problem_answer
from sba_resilience import Deadline


class TimeLimit:
    """Answers 504 after `seconds`; the libraries below see the same deadline in the context."""

    def __init__(self, app: ASGIApp, *, seconds: float) -> None:
        self._app = app
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False
        timer = asyncio.timeout(self._seconds)

        async def noted(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            with Deadline.after(self._seconds).scope():
                async with timer:
                    await self._app(scope, receive, noted)
        except TimeoutError:
            if not timer.expired():
                raise
            if started:
                raise
            await problem_answer(scope, TIMED_OUT)(scope, receive, send)
