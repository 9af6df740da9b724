"""The store all processes share: one hash and one list a canary, changed by scripts alone."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from sba_resilience.canary.store import KEPT, SLOTS, Batch, Decision, Phase, Status, View

if TYPE_CHECKING:
    from sba_resilience.redis import RedisClient
    from sba_resilience.redis.words import Reply, Word

_SCRIPTS = Path(__file__).parent


class RedisStore:
    """Phase, counts and decisions in Redis; on a cluster a canary's two keys share a slot.

    Nothing expires. A server that has lost the keys says `off`, which is stable for everybody.

    Args:
        redis: The client; who closes it is its owner's business.
        prefix: Begins every key.
    """

    __slots__ = ("_add", "_decide", "_prefix", "_redis")

    def __init__(self, redis: RedisClient, prefix: str = "sba:canary:") -> None:
        self._redis = redis
        self._prefix = prefix
        self._add = redis.script((_SCRIPTS / "add.lua").read_text())
        self._decide = redis.script((_SCRIPTS / "decide.lua").read_text())

    async def add(self, name: str, batch: Batch) -> View:
        """Add counts to their slice of the window and see where things stand.

        Raises:
            RedisError: The server is away or refused; whether the counts were added is unknown.
        """
        counts: list[Word] = [word for pair in batch.counts.items() for word in pair]
        answer = await self._add([self._key(name)], [batch.revision, batch.slot, SLOTS, *counts])
        names, numbers = answer[4::2], answer[5::2]
        totals = {str(each, "utf-8"): int(n) for each, n in zip(names, numbers, strict=True)}
        return View(_phase(answer[:4]), totals)

    async def decide(self, name: str, phase: Phase, decision: Decision) -> bool:
        """Enter a phase, forget the counts and put the decision on record.

        Raises:
            RedisError: The server is away or refused; whether it was decided is unknown.
        """
        words = [phase.status.value, repr(phase.share), phase.revision, repr(phase.since)]
        record = json.dumps(asdict(decision))
        return bool(await self._decide([self._key(name), self._log(name)], [*words, record, KEPT]))

    async def decisions(self, name: str, limit: int = 50) -> Sequence[Decision]:
        """The latest decisions, newest first.

        Raises:
            RedisError: The server is away or refused.
        """
        if limit < 1:
            return ()
        lines = await self._redis.execute("LRANGE", self._log(name), 0, limit - 1)
        return tuple(Decision(**json.loads(line)) for line in lines)

    def _key(self, name: str) -> str:
        return f"{self._prefix}{{{name}}}"

    def _log(self, name: str) -> str:
        return f"{self._key(name)}:decisions"


def _phase(words: Sequence[Reply]) -> Phase:
    status, share, revision, since = words
    if not revision:
        return Phase()
    return Phase(Status(str(status, "ascii")), float(share), int(revision), float(since))
