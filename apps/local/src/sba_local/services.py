"""The services of the stack as processes: started together, watched, and heard line by line."""

import asyncio
import http.client
import os
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sba_local.errors import ServiceFailed
from sba_local.process import Command, KeptProcess, SpawnFailed

Listener = Callable[[str, str], None]

_KEPT_LINES = 30
_LONGEST_LINE = 65536
_PAUSE = 0.05


@dataclass(frozen=True, slots=True)
class Service:
    """One process of the stack.

    Attributes:
        name: what its lines are prefixed with.
        arguments: program and arguments.
        environment: what it is told over the environment of the stack.
        ready_url: answers 200 once the service can be used; None when it has no such thing.
    """

    name: str
    arguments: Sequence[str | Path]
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    ready_url: str | None = None


def program(name: str) -> Path:
    """The console script `name` of this installation, or the one on the path."""
    beside = Path(sys.executable).parent / name
    return beside if beside.exists() else Path(shutil.which(name) or name)


class RunningService:
    """A started service.

    Args:
        service: what to start.
        environment: its whole environment.
        listener: is told the service's name and each line it writes.
        hold: descriptors its keeper holds until it has ended.
    """

    def __init__(
        self,
        service: Service,
        *,
        environment: Mapping[str, str],
        listener: Listener,
        hold: Sequence[int] = (),
    ) -> None:
        self.service = service
        self._lines: deque[str] = deque(maxlen=_KEPT_LINES)
        self._listener = listener
        command = Command(service.arguments, environment={**environment, **service.environment}, hold=hold)
        try:
            self._process = KeptProcess.start(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        except SpawnFailed as error:
            message = f"cannot be started: {service.arguments[0]}: {error.strerror}"
            raise ServiceFailed(service.name, message, status=127) from error
        self._listening = asyncio.create_task(self._listen())
        self._ended = asyncio.create_task(self._process.ended())

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    @property
    def last_lines(self) -> str:
        """The last lines it wrote."""
        return "\n".join(self._lines)

    def has_ended(self) -> bool:
        """Whether it is not running."""
        return self._process.poll() is not None

    async def ready(self, *, seconds: float) -> None:
        """Wait until it can be used.

        Raises:
            ServiceFailed: it ended, or was not ready after `seconds`; says what was missing.
        """
        if self.service.ready_url is None:
            return
        answer = "no answer"
        try:
            async with asyncio.timeout(seconds):
                while (answer := await asyncio.to_thread(_readiness, self.service.ready_url)) != "ready":
                    await self._pause()
        except TimeoutError:
            message = f"was not ready after {seconds:g} s ({answer})"
            raise ServiceFailed(self.service.name, message, status=None, lines=self.last_lines) from None

    async def failure(self) -> ServiceFailed:
        """Wait for its end and return what to say about it."""
        status = await asyncio.shield(self._ended)
        await asyncio.shield(self._listening)
        return ServiceFailed(
            self.service.name, f"ended with status {status}", status=status, lines=self.last_lines
        )

    async def stop(self) -> None:
        """End it in good order and hear its last words."""
        self._process.ask_to_stop()
        await self._ended
        await self._listening

    async def _pause(self) -> None:
        done, _ = await asyncio.wait([self._ended], timeout=_PAUSE)
        if done:
            raise await self.failure()

    async def _listen(self) -> None:
        reader = asyncio.StreamReader()
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), self._process.stdout
        )
        rest = b""
        while chunk := await reader.read(_LONGEST_LINE):
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                self._hear(line)
            if len(rest) > _LONGEST_LINE:
                self._hear(rest)
                rest = b""
        if rest:
            self._hear(rest)
        transport.close()

    def _hear(self, raw: bytes) -> None:
        line = raw.decode(errors="replace").rstrip("\r")
        self._lines.append(line)
        self._listener(self.service.name, line)


def _readiness(url: str) -> str:
    """'ready', or why not."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=5) as response:
            return "ready" if response.status == http.client.OK else f"status {response.status}"
    except urllib.error.HTTPError as error:
        with error:
            return f"status {error.code}: {error.read(2000).decode(errors='replace')}"
    except (OSError, http.client.HTTPException) as error:
        return str(getattr(error, "reason", error)) or os.strerror(0)
