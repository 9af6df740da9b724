"""One node: its resources, its parts wired together, and the tasks that keep it going."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from sba_agents import events
from sba_agents.events import RunEvent
from sba_db import Database
from sba_db.models import AgentRun
from sba_db.repositories import agent_runs
from sba_ratelimit.events import EventLimiter
from sba_resilience.redis import RedisClient, RedisError
from sba_supabase import KeySet
from sba_supabase.errors import KeyUnknown
from sba_telemetry.logs import get_logger
from sba_telemetry.sdk import Telemetry
from sba_ws import packets
from sba_ws.admission import Admission
from sba_ws.answers import Answer, document
from sba_ws.client import Client, Clients
from sba_ws.commands import Commands
from sba_ws.connections import Connections
from sba_ws.delivery import Delivery
from sba_ws.gateway import Gateway
from sba_ws.handlers.auth import AuthCommands
from sba_ws.handlers.runs import RunCommands
from sba_ws.handshake import Handshake
from sba_ws.limits import Limits
from sba_ws.link import GOING_AWAY
from sba_ws.readiness import Probe
from sba_ws.resources import Resources, open_resources
from sba_ws.run_feeds import RunFeeds, RunKey
from sba_ws.sessions import Sessions
from sba_ws.settings import WsSettings
from sba_ws.shards import ShardFollower
from sba_ws.shares import Shares

_log = get_logger(__name__)

_RESTART_AFTER = 1.0


@dataclass(frozen=True, slots=True)
class Node:
    """What the application needs of a running node.

    Attributes:
        door: The ASGI application of Socket.IO, behind its admission.
        probe: Answers for `/readyz`.
        telemetry: Answers for `/metrics`.
    """

    door: Admission
    probe: Probe
    telemetry: Telemetry
    gateway: Gateway
    limits: Limits

    async def readiness(self) -> Answer:
        """Which dependencies answer; a draining node is not ready."""
        if self.door.draining:
            return document(503, {"status": "draining", "missing": [], "dependencies": {}})
        return await self.probe.answer()

    async def drain(self) -> None:
        """Let nobody in, ask everybody to come back later or elsewhere, and close what stays."""
        self.door.draining = True
        for wire in tuple(self.gateway.wires.values()):
            pause = int(random.uniform(0, self.limits.drain_spread) * 1000)  # noqa: S311 - spreads load
            self.gateway.push(wire, packets.event("drain", {"reconnect_after_ms": pause}))
        await self.gateway.emptied(within=self.limits.drain_grace)
        for wire in tuple(self.gateway.wires.values()):
            self.gateway.close(wire, GOING_AWAY, "drain", final=False)
        await self.gateway.settled()


@asynccontextmanager
async def open_node(
    settings: WsSettings, limits: Limits, wall_clock: Callable[[], float]
) -> AsyncIterator[Node]:
    """Open the resources, start following, and stop both at the end."""
    limits = replace(
        limits,
        connections=settings.ws_max_connections,
        connects_per_address=settings.ws_connects_per_address,
        connects_per_user=settings.ws_connects_per_user,
        events_per_user=settings.ws_events_per_user,
        events_per_tenant=settings.ws_events_per_tenant,
    )
    async with AsyncExitStack() as stack:
        resources = await stack.enter_async_context(open_resources(settings, wall_clock=wall_clock))
        events_limiter = EventLimiter(
            resources.limiter, block=limits.events_block, nodes=settings.rate_limit_nodes
        )
        await stack.enter_async_context(events_limiter)
        gateway = Gateway(limits=limits, origins=settings.cors_origins, take=Shares(events_limiter, limits))
        stack.push_async_callback(gateway.shutdown)
        await stack.enter_async_context(_serving(gateway, resources, limits, wall_clock))
        door = Admission(
            gateway.handle_request,
            sockets=gateway.wires,
            limiter=resources.limiter,
            trusted=settings.trusted_proxies,
            limits=limits,
        )
        yield Node(door, _probe(resources), resources.telemetry, gateway, limits)


@asynccontextmanager
async def _serving(
    gateway: Gateway, resources: Resources, limits: Limits, wall_clock: Callable[[], float]
) -> AsyncIterator[None]:
    reader = resources.redis.stream_reader()
    follower = ShardFollower(reader)
    feeds = RunFeeds(read=_reads(resources.database), shards=follower, limits=limits)
    clients = Clients()
    sessions = Sessions(gateway=gateway, clients=clients, limits=limits, wall_clock=wall_clock)
    handshake = Handshake(
        verifier=resources.verifier,
        verify_member=resources.database.verify_member,
        limiter=resources.limiter,
        limits=limits,
        wall_clock=wall_clock,
    )
    _register(
        gateway=gateway,
        database=resources.database,
        handshake=handshake,
        clients=clients,
        sessions=sessions,
        feeds=feeds,
        limits=limits,
    )
    tasks = (
        _for_ever("follow", lambda: follower.run(live=feeds.live, doubt=feeds.doubt)),
        _for_ever("poll", lambda: feeds.poll(_answers(resources.redis))),
        _for_ever("memberships", lambda: sessions.watch_memberships(resources.database.verify_member)),
    )
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await feeds.aclose()
        await reader.aclose()


def _register(
    *,
    gateway: Gateway,
    database: Database,
    handshake: Handshake,
    clients: Clients,
    sessions: Sessions,
    feeds: RunFeeds,
    limits: Limits,
) -> None:
    delivery = Delivery(gateway=gateway, feeds=feeds, limits=limits)
    Connections(
        gateway=gateway,
        handshake=handshake,
        clients=clients,
        sessions=sessions,
        delivery=delivery,
        feeds=feeds,
        limits=limits,
    ).register()
    runs = RunCommands(find=_finds(database), feeds=feeds, delivery=delivery, limits=limits)
    auth = AuthCommands(handshake=handshake, sessions=sessions)
    commands = Commands(gateway=gateway, clients=clients, sessions=sessions, limits=limits)
    commands.register("run:subscribe", runs.subscribe)
    commands.register("run:unsubscribe", runs.unsubscribe)
    commands.register("auth:refresh", auth.refresh)


def _reads(database: Database) -> Callable[..., Awaitable[list[RunEvent]]]:
    async def read(run: RunKey, *, after: int, limit: int) -> list[RunEvent]:
        return await events.read(database.reader(run.tenant_id), run.run_id, after, limit=limit)

    return read


def _finds(database: Database) -> Callable[[Client, UUID], Awaitable[AgentRun | None]]:
    async def find(client: Client, run_id: UUID) -> AgentRun | None:
        return await agent_runs.get_run(database.reader(client.tenant_id, member=client.user_id), run_id)

    return find


def _answers(redis: RedisClient) -> Callable[[], Awaitable[bool]]:
    async def answers() -> bool:
        try:
            await redis.ping()
        except RedisError:
            return False
        return True

    return answers


def _probe(resources: Resources) -> Probe:
    checks = {
        "postgres": resources.database.verify_role,
        "redis": resources.redis.ping,
        "jwks": lambda: _keys_came(resources.keys),
    }
    return Probe(checks, required=frozenset({"postgres", "jwks"}))


async def _keys_came(keys: KeySet) -> None:
    try:
        await keys.find("readiness")
    except KeyUnknown:
        return


def _for_ever(name: str, work: Callable[[], Awaitable[None]]) -> asyncio.Task[Any]:
    async def keep_going() -> None:
        while True:
            try:
                await work()
            except Exception:  # noqa: BLE001 - whatever it was, the node goes on and the log has it
                _log.exception("background_task_failed", task=name)
            await asyncio.sleep(_RESTART_AFTER)

    return asyncio.create_task(keep_going(), name=f"sba-ws-{name}")
