"""``run:subscribe`` and ``run:unsubscribe``."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, Field

from sba_db import DatabaseUnavailable
from sba_db.models import AgentRun
from sba_ws.client import Client
from sba_ws.commands import Answer, parse
from sba_ws.delivery import Delivery
from sba_ws.errors import Refused
from sba_ws.limits import Limits
from sba_ws.run_feeds import RunFeeds, RunKey

_LAST_SEQ = 2**63 - 1

FindRun = Callable[[Client, UUID], Awaitable[AgentRun | None]]
"""Looks a run up as the client, checking its membership on the way; None for an unknown or foreign run."""


class SubscribeRequest(BaseModel):
    """``{run_id, after?}``: follow a run from the event after ``after``."""

    run_id: UUID
    after: Annotated[int, Field(strict=True, ge=0, le=_LAST_SEQ)] = 0


class UnsubscribeRequest(BaseModel):
    """``{run_id}``."""

    run_id: UUID


class RunCommands:
    """Following runs.

    Args:
        find: Looks a run up.
        feeds: Deliver its events.
        delivery: Takes them to the client.
        limits: How many runs one socket may follow.
    """

    def __init__(self, *, find: FindRun, feeds: RunFeeds, delivery: Delivery, limits: Limits) -> None:
        self._find = find
        self._feeds = feeds
        self._delivery = delivery
        self._limits = limits

    async def subscribe(self, client: Client, payload: object) -> Answer:
        """Follow a run; following one twice changes nothing.

        The answer reaches the client before the first event, for nothing between here and it yields.

        Returns:
            ``run_id`` and ``seq``, the run's last event when it was looked up.
        """
        request = parse(SubscribeRequest, payload)
        run = RunKey(client.tenant_id, request.run_id)
        if run not in client.runs and len(client.runs) >= self._limits.subscriptions:
            raise Refused("too_many_subscriptions", "this socket follows as many runs as it may")
        found = await self._lookup(client, request)
        if not client.connected:
            raise Refused("not_connected", "this socket is not connected")
        client.runs.add(run)
        sink = self._delivery.sink(client, run)
        self._feeds.subscribe(run, client.sid, sink, after=request.after, finished=found.status.finished)
        return {"run_id": str(run.run_id), "seq": found.event_seq}

    async def unsubscribe(self, client: Client, payload: object) -> Answer:
        """Stop following a run, whether or not it is followed.

        Returns:
            ``run_id``.
        """
        request = parse(UnsubscribeRequest, payload)
        run = RunKey(client.tenant_id, request.run_id)
        client.runs.discard(run)
        self._feeds.unsubscribe(run, client.sid)
        return {"run_id": str(run.run_id)}

    async def _lookup(self, client: Client, request: SubscribeRequest) -> AgentRun:
        found = await self._find_patiently(client, request.run_id)
        if found is None:
            raise Refused("not_found", "no such run")
        if request.after > found.event_seq:
            raise Refused("invalid_request", "after: the run has no such event yet")
        return found

    async def _find_patiently(self, client: Client, run_id: UUID) -> AgentRun | None:
        """Look once more before telling the client that the database is away."""
        try:
            return await self._find(client, run_id)
        except DatabaseUnavailable as error:
            await asyncio.sleep(min(error.retry_after, self._limits.request_timeout / 4))
            return await self._find(client, run_id)
