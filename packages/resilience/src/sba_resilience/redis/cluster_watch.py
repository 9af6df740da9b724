"""One watch over all primaries of a cluster."""

from __future__ import annotations

import math
from collections.abc import Callable

from sba_resilience.redis.node import Node
from sba_resilience.redis.nodes import Nodes
from sba_resilience.redis.watch import KeyWatch


class ClusterBus:
    """Serves watches by watching every primary, those that join later too.

    Args:
        nodes: Who serves what.
        clock: Monotonic seconds.
    """

    def __init__(self, nodes: Nodes, *, clock: Callable[[], float]) -> None:
        self.clock = clock
        self._nodes = nodes
        self._closed = False
        self._parts: dict[KeyWatch, dict[Node, _Part]] = {}
        nodes.listeners.add(self._nodes_changed)

    def watch(self, prefix: str, changed: Callable[[str], None]) -> KeyWatch:
        """Begin to watch."""
        whole = KeyWatch(self, prefix, changed)
        if not self._closed:
            self._parts[whole] = {}
            self._cover(whole)
        return whole

    def forget(self, watch: KeyWatch) -> None:
        """End one watch."""
        for part in self._parts.pop(watch, {}).values():
            part.leave()

    def refusal(self, watch: KeyWatch) -> str | None:
        """Why a watch will not become live, if so."""
        if watch not in self._parts:
            return "closed"
        refusals = (node.bus.refusal(part) for node, part in self._parts[watch].items())
        return next((reason for reason in refusals if reason is not None), None)

    def heard(self, whole: KeyWatch) -> None:
        """Count silence as far as that of every primary counts."""
        parts = self._parts[whole].values()
        until = min((part.live_until for part in parts), default=-math.inf)
        if until > -math.inf:
            whole.alive(until)

    def lost(self, whole: KeyWatch, why: str, *, connected: bool) -> None:
        """A change on one primary may have been missed."""
        whole.missed(why, connected=connected)
        self._nodes.look()

    def close(self) -> None:
        """End every watch."""
        self._closed = True
        self._nodes.listeners.discard(self._nodes_changed)
        for whole in tuple(self._parts):
            whole.close()

    def forked(self) -> None:
        """Trust nothing any more: this is a child's copy."""
        for whole in self._parts:
            whole.distrust()
        self._parts.clear()
        self._closed = True

    def _nodes_changed(self) -> None:
        for whole in self._parts:
            whole.missed("slots_moved", connected=True)
            self._cover(whole)

    def _cover(self, whole: KeyWatch) -> None:
        parts = self._parts[whole]
        for node in parts.keys() - set(self._nodes.primaries):
            parts.pop(node).leave()
        for node in self._nodes.primaries:
            if node not in parts:
                whole.missed("primary_joined")
                parts[node] = _Part(self, node, whole)
                node.bus.join(parts[node])


class _Part(KeyWatch):
    """A watch on one primary; what it hears goes to the whole."""

    __slots__ = ("_cluster", "_whole")

    def __init__(self, cluster: ClusterBus, node: Node, whole: KeyWatch) -> None:
        super().__init__(node.bus, whole.prefix, whole.tell)
        self._cluster = cluster
        self._whole: KeyWatch | None = whole

    def leave(self) -> None:
        """Hear of nothing more, and say nothing more."""
        self._whole = None
        self.close()

    def alive(self, until: float) -> None:
        """Count silence up to `until`."""
        super().alive(until)
        if self._whole is not None:
            self._cluster.heard(self._whole)

    def missed(self, why: str, *, connected: bool = False) -> None:
        """A change may have been missed."""
        super().missed(why, connected=connected)
        if self._whole is not None:
            self._cluster.lost(self._whole, why, connected=connected)

    def announce(self) -> None:
        """Let those who wait for the whole look again."""
        super().announce()
        if self._whole is not None:
            self._whole.announce()
