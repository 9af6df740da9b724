"""A hard bound on how long a request may take."""

from __future__ import annotations

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sba_api.problems import BODY_LATE, TIMED_OUT, ProblemError, problem_answer
from sba_resilience import Deadline

_FOR_THE_BODY = 0.9  # of the time; what is left is for the answer to a client that stalls


class TimeLimit:
    """Answers 504 after `seconds`, or 408 where the client has not sent its whole body shortly before.

    The libraries below see the same deadline in the context.
    """

    def __init__(self, app: ASGIApp, *, seconds: float) -> None:
        self._app = app
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False
        body = _Body(receive, by=asyncio.get_running_loop().time() + self._seconds * _FOR_THE_BODY)
        timer = asyncio.timeout(self._seconds)

        async def noted(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            with Deadline.after(self._seconds).scope():
                async with timer:
                    await self._app(scope, body.receive, noted)
        except TimeoutError:
            if not timer.expired():
                raise
            if started:
                raise
            await problem_answer(scope, BODY_LATE if body.awaited else TIMED_OUT)(scope, receive, send)


class _Body:
    """What a client still has to send, until a moment on the loop's clock."""

    __slots__ = ("_by", "_complete", "_receive", "awaited")

    def __init__(self, receive: Receive, *, by: float) -> None:
        self._receive = receive
        self._by = by
        self._complete = False
        self.awaited = False

    async def receive(self) -> Message:
        """The next message; 408 once the moment has passed and the body is not all there."""
        if self._complete:
            return await self._receive()
        self.awaited = True
        try:
            async with asyncio.timeout_at(self._by):
                message = await self._receive()
        except TimeoutError:
            raise ProblemError(BODY_LATE) from None
        self.awaited = False
        self._complete = not message.get("more_body", False)
        return message
