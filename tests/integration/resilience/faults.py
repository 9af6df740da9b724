"""A server of the test's own, to be stopped, killed and started again."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from sba_local.valkey import EmbeddedValkey
from sba_resilience.redis import RedisClient, RedisUnavailable


@dataclass
class Server:
    """One Valkey that keeps its port and password through a restart."""

    directory: Path
    password: str = "of-a-throw-away-server"
    port: int | None = None
    engine: EmbeddedValkey = field(init=False)

    def start(self) -> None:
        self.engine = EmbeddedValkey(self.directory, port=self.port, password=self.password, throwaway=True)
        self.engine.start()
        self.port = self.engine.port

    @property
    def url(self) -> str:
        return self.engine.url

    def freeze(self) -> None:
        os.kill(self.engine.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        os.kill(self.engine.pid, signal.SIGCONT)

    @contextmanager
    def frozen(self) -> Iterator[None]:
        self.freeze()
        try:
            yield
        finally:
            self.thaw()

    def kill(self) -> None:
        os.kill(self.engine.pid, signal.SIGKILL)
        self.engine.stop()


async def eventually(holds: Callable[[], bool | Awaitable[bool]], *, within: float = 10.0) -> None:
    """Wait for a condition."""
    async with asyncio.timeout(within):
        while True:
            held = holds()
            if held if isinstance(held, bool) else await held:
                return
            await asyncio.sleep(0.005)


async def works(redis: RedisClient, key: str = "k") -> bool:
    """Whether a key can be written."""
    try:
        await redis.execute("SET", key, "v")
    except RedisUnavailable:
        return False
    return True
