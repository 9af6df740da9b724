"""A seeded run of reads, writes and faults on several nodes, and the judgement of what was read."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from redis.asyncio import Redis

from sba_cache import MISSING, CacheKey, Policy
from sba_resilience import RedisUnavailable
from tests.integration.cache.nodes import SPACE, TAG, TAGS, TENANT, Node, kill_hearers

KEYS = tuple(CacheKey(TENANT, SPACE, number) for number in range(4))
WINDOW = 1.0  # seconds in which another node may still serve what was replaced
POLICIES = (
    Policy(),
    Policy(stale=0.5, early=3.0),
    Policy(fail_safe=0.5, soft_timeout=0.01, hold=0.05),
)
TTLS = (0.02, 0.3, 60.0)
ENDING = 30.0


@dataclass(frozen=True, slots=True)
class Bump:
    """From `acked` on, revisions of the key below `floor` are gone; everywhere, unless Redis was away."""

    key: CacheKey
    floor: int
    acked: float
    by: Node
    how: str
    everywhere: bool = True


@dataclass(frozen=True, slots=True)
class Read:
    """What a node answered to a question asked at `began`, `connected` to Redis until the end or not."""

    key: CacheKey
    revision: int
    began: float
    node: Node
    how: str
    connected: bool

    def violates(self, bump: Bump) -> bool:
        """Whether it should have known better."""
        if self.key != bump.key or not (bump.everywhere or self.node is bump.by):
            return False
        at_once = self.node is bump.by or (self.connected and not self.node.near)
        grace = 0.0 if at_once else WINDOW
        return self.revision < bump.floor and self.began > bump.acked + grace


class LoadFailed(Exception):
    """What a load fails with, on purpose."""


@dataclass
class History:
    """One run.

    Attributes:
        source: The present revision of every key: what a load reads when it begins.
    """

    seed: int
    nodes: list[Node]
    admin: Redis
    source: dict[CacheKey, int] = field(default_factory=lambda: dict.fromkeys(KEYS, 1))
    bumps: list[Bump] = field(default_factory=list)
    reads: list[Read] = field(default_factory=list)
    loads: int = 0
    barriers: list[asyncio.Event] = field(default_factory=list)
    asked: set[asyncio.Task[None]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.dice = random.Random(self.seed)

    async def run(self, steps: int) -> None:
        actions: dict[Callable[[], Awaitable[None]], int] = {
            self.ask: 60, self.change: 8, self.release: 25, self.wait: 25, self.hang: 1, self.heal: 2,
            self.cut: 1, self.kill: 1, self.lose: 1,
        }  # fmt: skip
        choices = self.dice.choices(list(actions), list(actions.values()), k=steps)
        for action in choices:
            await action()
        await self.end()

    async def ask(self) -> None:
        node, key = self.dice.choice(self.nodes), self.dice.choice(KEYS)
        fate = self.dice.random()
        question = self.peek(node, key) if fate < 0.1 else self.question(node, key)
        task = asyncio.create_task(question)
        self.asked.add(task)
        task.add_done_callback(self.asked.discard)

    async def question(self, node: Node, key: CacheKey) -> None:
        began, way = time.monotonic(), node.connection()
        policy, ttl = self.dice.choice(POLICIES), self.dice.choice(TTLS)
        try:
            found = await node.cache.get_or_load(
                key, lambda: self.load(key), ttl=ttl, type=int, tags=TAGS, policy=policy
            )
        except LoadFailed:
            return
        connected = way[0] and way == node.connection()
        self.reads.append(Read(key, found, began, node, f"get_or_load {policy}", connected))

    async def peek(self, node: Node, key: CacheKey) -> None:
        began, way = time.monotonic(), node.connection()
        found = await node.cache.get(key, int, tags=TAGS)
        if found is not MISSING:
            connected = way[0] and way == node.connection()
            self.reads.append(Read(key, found, began, node, "get", connected))

    async def load(self, key: CacheKey) -> int:
        """Reads the source, then is held at a barrier, or not."""
        self.loads += 1
        revision, fate = self.source[key], self.dice.random()
        if fate < 0.6:
            self.barriers.append(barrier := asyncio.Event())
            await barrier.wait()
        if fate > 0.95 or fate < 0.05:
            raise LoadFailed
        return revision

    async def change(self) -> None:
        """The source changes, then a node says so."""
        node, key = self.dice.choice(self.nodes), self.dice.choice(KEYS)
        how = self.dice.choice(("namespace", "tenant", "tag", "delete", "set"))
        changed = (key,) if how in ("delete", "set") else KEYS
        for each in changed:
            self.source[each] += 1
        floors = {each: self.source[each] for each in changed}
        try:
            await self.announce(node, key, how)
        except RedisUnavailable:
            if how in ("delete", "set"):
                return  # it may not have happened, and nothing more is promised
            self.record(floors, node, how, everywhere=False)
        else:
            self.record(floors, node, how, everywhere=True)

    def record(self, floors: dict[CacheKey, int], node: Node, how: str, *, everywhere: bool) -> None:
        now = time.monotonic()
        self.bumps += [Bump(each, floor, now, node, how, everywhere) for each, floor in floors.items()]

    async def announce(self, node: Node, key: CacheKey, how: str) -> None:
        match how:
            case "namespace":
                await node.cache.invalidate(TENANT, SPACE)
            case "tenant":
                await node.cache.invalidate(TENANT)
            case "tag":
                await node.cache.invalidate(TENANT, tag=TAG)
            case "delete":
                await node.cache.delete(key)
            case _:
                await node.cache.set(key, self.source[key], ttl=60.0, type=int, tags=TAGS)

    async def release(self) -> None:
        if self.barriers:
            self.barriers.pop(self.dice.randrange(len(self.barriers))).set()

    async def wait(self) -> None:
        await asyncio.sleep(self.dice.expovariate(1 / 0.02))

    async def hang(self) -> None:
        self.dice.choice(self.nodes).wire.hang()

    async def heal(self) -> None:
        for node in self.nodes:
            node.wire.heal()
            node.wire.up = True

    async def cut(self) -> None:
        self.dice.choice(self.nodes).wire.cut()

    async def lose(self) -> None:
        self.dice.choice(self.nodes).wire.break_off()

    async def kill(self) -> None:
        await kill_hearers(self.admin)

    async def end(self) -> None:
        """Let everyone finish."""
        await self.heal()
        async with asyncio.timeout(ENDING):
            while self.asked:
                while self.barriers:
                    await self.release()
                await asyncio.wait(self.asked, timeout=0.01)

    def violations(self) -> list[str]:
        """Reads that should not have been possible."""
        return [
            f"seed {self.seed}: {read.node.name} answered {read.revision} of {read.key} to {read.how} "
            f"{read.began - bump.acked:.3f} s after {bump.by.name} made it {bump.floor} by {bump.how}"
            for read in self.reads
            for bump in self.bumps
            if read.violates(bump)
        ]
