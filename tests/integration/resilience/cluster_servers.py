"""Valkey servers that form a cluster, or are watched by sentinels, in processes of the test's own."""

from __future__ import annotations

import os
import signal
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import redis

from sba_local.ports import free_port
from sba_local.valkey import EmbeddedValkey

PASSWORD = "of-throw-away-servers"
SENTINEL_PASSWORD = "of-throw-away-sentinels"
SLOTS = 16384
SERVICE = "main"
KEYS = [f"k{n}" for n in range(30)]


class Sentinel(EmbeddedValkey):
    """The same binary in its other role."""

    def _arguments(self) -> Sequence[str | Path]:
        server, configuration = super()._arguments()
        return [server, configuration, "--sentinel"]


@dataclass(eq=False)
class Member:
    """One process."""

    directory: Path
    settings: dict[str, str] = field(default_factory=dict)
    kind: type[EmbeddedValkey] = EmbeddedValkey
    password: str = PASSWORD
    port: int = 0
    bus: bool = False
    up: bool = False

    def start(self) -> None:
        self.port = self.port or free_port()
        if self.bus and "cluster-port" not in self.settings:
            self.settings = {**self.settings, "cluster-port": str(free_port())}
        self.engine = self.kind(
            self.directory,
            port=self.port,
            password=self.password,
            settings=self.settings,
            throwaway=True,
            discard=False,
        )
        self.engine.start()
        self.up = True
        self.client = redis.Redis(
            port=self.port, password=self.password, decode_responses=True, socket_timeout=5
        )

    def ask(self, *words: str | int) -> Any:
        return self.client.execute_command(*words)

    @property
    def role(self) -> str:
        return str(self.ask("ROLE")[0])

    @contextmanager
    def frozen(self) -> Iterator[None]:
        os.kill(self.engine.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self.engine.pid, signal.SIGCONT)

    def kill(self) -> None:
        os.kill(self.engine.pid, signal.SIGKILL)
        self.stop()

    def stop(self) -> None:
        if self.up:
            self.up = False
            self.client.close()
            self.engine.stop()


def started(members: Sequence[Member]) -> None:
    """Start all of them at once."""
    with ThreadPoolExecutor(len(members)) as pool:
        list(pool.map(Member.start, members))


def stopped(members: Sequence[Member]) -> None:
    """End those that run."""
    with ThreadPoolExecutor(len(members)) as pool:
        list(pool.map(Member.stop, members))


def until(holds: Callable[[], bool], *, within: float = 20.0) -> None:
    """Wait for what servers agree on among themselves."""
    deadline = time.monotonic() + within
    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError
        time.sleep(0.02)


class Cluster:
    """Three primaries, each with as many replicas.

    Args:
        directory: Where all keep their data.
        replicas: Of each primary.
    """

    def __init__(self, directory: Path, *, replicas: int = 1) -> None:
        settings = {
            "cluster-enabled": "yes",
            "cluster-node-timeout": "1000",
            "cluster-require-full-coverage": "no",
            "cluster-replica-validity-factor": "0",
            "masterauth": PASSWORD,
            "repl-diskless-sync-delay": "0",
        }
        self.members = [Member(directory / f"node{n}", settings, bus=True) for n in range(3 * (1 + replicas))]

    @property
    def url(self) -> str:
        hosts = ",".join(f"127.0.0.1:{member.port}" for member in self.members)
        return f"redis+cluster://:{PASSWORD}@{hosts}"

    def start(self) -> None:
        started(self.members)
        first, primaries = self.members[0], self.members[:3]
        for n, primary in enumerate(primaries):
            primary.ask("CLUSTER", "SET-CONFIG-EPOCH", n + 1)
            primary.ask("CLUSTER", "ADDSLOTSRANGE", SLOTS * n // 3, SLOTS * (n + 1) // 3 - 1)
        for member in self.members[1:]:
            member.ask("CLUSTER", "MEET", "127.0.0.1", first.port, first.settings["cluster-port"])
        until(lambda: all(self._knows_all(member) for member in self.members))
        for n, replica in enumerate(self.members[3:]):
            replica.ask("CLUSTER", "REPLICATE", primaries[n % 3].ask("CLUSTER", "MYID"))
        until(self.settled)

    def stop(self) -> None:
        stopped(self.members)

    def settled(self) -> bool:
        """Whether all members are up and agree, and every replica follows its primary."""
        told = {str(sorted(row[:3] for row in member.ask("CLUSTER", "SLOTS"))) for member in self.members}
        return len(told) == 1 and all(self._agrees(member) for member in self.members)

    @property
    def primaries(self) -> list[Member]:
        """Who serves slots now, in the order of the first."""
        ranges = sorted(self._any.ask("CLUSTER", "SLOTS"))
        return list(dict.fromkeys(self._at(primary[1]) for _, _, primary, *_ in ranges))

    def primary_of(self, key: str) -> Member:
        """Who serves a key now."""
        slot = self._any.ask("CLUSTER", "KEYSLOT", key)
        ranges = self._any.ask("CLUSTER", "SLOTS")
        return next(self._at(primary[1]) for first, last, primary, *_ in ranges if first <= slot <= last)

    def key_at(self, member: Member) -> str:
        """A key it serves now."""
        return next(key for key in KEYS if self.primary_of(key) is member)

    def move(self, slot: int, *, source: Member, target: Member) -> None:
        """Give an empty slot to another primary."""
        self.begin_move(slot, source=source, target=target)
        self.end_move(slot, source=source, target=target)

    def end_move(self, slot: int, *, source: Member, target: Member) -> None:
        """Let everybody know that a slot has another primary."""
        for member in (target, source):
            member.ask("CLUSTER", "SETSLOT", slot, "NODE", target.ask("CLUSTER", "MYID"))
        until(self.settled)

    def begin_move(self, slot: int, *, source: Member, target: Member) -> None:
        """Make one primary send askers for keys it lacks to another."""
        target.ask("CLUSTER", "SETSLOT", slot, "IMPORTING", source.ask("CLUSTER", "MYID"))
        source.ask("CLUSTER", "SETSLOT", slot, "MIGRATING", target.ask("CLUSTER", "MYID"))

    @contextmanager
    def without(self, member: Member) -> Iterator[None]:
        """Kill a member, and have it back afterwards."""
        member.kill()
        try:
            yield
        finally:
            member.start()
            until(self.settled)

    @contextmanager
    def no_failover(self) -> Iterator[None]:
        """Let replicas stay replicas, however long a primary is frozen inside."""
        self._configure("cluster-replica-no-failover", "yes")
        try:
            yield
        finally:
            self._configure("cluster-replica-no-failover", "no")
            until(self.settled)

    def _configure(self, name: str, value: str) -> None:
        for member in self.members:
            member.ask("CONFIG", "SET", name, value)

    @property
    def _any(self) -> Member:
        return next(member for member in self.members if member.up)

    def _at(self, port: int) -> Member:
        return next(member for member in self.members if member.port == port)

    def _knows_all(self, member: Member) -> bool:
        return int(member.client.cluster("INFO")["cluster_known_nodes"]) == len(self.members)

    def _agrees(self, member: Member) -> bool:
        information = member.client.cluster("INFO")
        ranges = member.ask("CLUSTER", "SLOTS")
        listed = {port for _, _, *nodes in ranges for _, port, *_ in nodes}
        role, *rest = member.ask("ROLE")
        linked = role == "master" or rest[2] == "connected"
        return information["cluster_state"] == "ok" and len(listed) == len(self.members) and linked


class Watched:
    """One primary with two replicas, and three sentinels that agree when two of them do.

    Args:
        directory: Where all keep their data.
    """

    def __init__(self, directory: Path) -> None:
        replication = {"masterauth": PASSWORD, "repl-diskless-sync-delay": "0"}
        self.servers = [Member(directory / f"server{n}", dict(replication)) for n in range(3)]
        self._directory = directory
        self.sentinels: list[Member] = []

    @property
    def url(self) -> str:
        hosts = ",".join(f"127.0.0.1:{sentinel.port}" for sentinel in self.sentinels)
        return f"redis+sentinel://:{PASSWORD}@{hosts}/{SERVICE}/0"

    @property
    def primary(self) -> Member:
        """Whom most sentinels name."""
        port = statistics.mode(self._named())
        return next(server for server in self.servers if server.port == port)

    @property
    def replica(self) -> Member:
        """One that is not the primary."""
        return next(server for server in self.servers if server is not self.primary)

    def start(self) -> None:
        started(self.servers)
        first, *others = self.servers
        for other in others:
            other.ask("REPLICAOF", "127.0.0.1", first.port)
        until(lambda: all(other.ask("ROLE")[3] == "connected" for other in others))
        self.sentinels = [
            Member(self._directory / f"sentinel{n}", {}, Sentinel, SENTINEL_PASSWORD) for n in range(3)
        ]
        started(self.sentinels)
        for sentinel in self.sentinels:
            sentinel.ask("SENTINEL", "MONITOR", SERVICE, "127.0.0.1", first.port, 2)
            for name, value in (("auth-pass", PASSWORD), ("down-after-milliseconds", 400)):
                sentinel.ask("SENTINEL", "SET", SERVICE, name, value)
            sentinel.ask("SENTINEL", "SET", SERVICE, "failover-timeout", 2000)
        until(self.settled)

    def stop(self) -> None:
        stopped([*self.servers, *self.sentinels])

    def fail_over(self) -> None:
        """Let another server become the primary, without losing a write."""
        before = self.primary

        self.sentinels[0].ask("SENTINEL", "FAILOVER", SERVICE, "COORDINATED")
        until(lambda: self.primary is not before)

    def settled(self) -> bool:
        """Whether the sentinels agree, and reach each other and all servers."""
        return all(self._sees_all(sentinel) for sentinel in self.sentinels) and len(set(self._named())) == 1

    def _named(self) -> list[int]:
        return [
            int(sentinel.ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE)[1])
            for sentinel in self.sentinels
        ]

    def _sees_all(self, sentinel: Member) -> bool:
        primary = sentinel.client.sentinel_master(SERVICE)
        others = sentinel.client.sentinel_sentinels(SERVICE)
        return (
            primary["flags"] == "master"
            and primary["num-slaves"] == len(self.servers) - 1
            and len(others) == len(self.sentinels) - 1
            and not any(other["is_disconnected"] or other["is_sdown"] for other in others)
        )
