"""A cluster: every command goes to the primary of its keys' hash slot, and follows it when it moves."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence

from sba_resilience.errors import RedisCommandError, RedisUnavailable
from sba_resilience.redis.background import in_background
from sba_resilience.redis.cluster_streams import ClusterStreamReader
from sba_resilience.redis.cluster_watch import ClusterBus
from sba_resilience.redis.forks import tell_of_fork
from sba_resilience.redis.keys import common_slot, keys_of
from sba_resilience.redis.nodes import Nodes
from sba_resilience.redis.places import spelled
from sba_resilience.redis.probe import Capabilities
from sba_resilience.redis.script import Script
from sba_resilience.redis.settings import RedisSettings
from sba_resilience.redis.topology import Redirect
from sba_resilience.redis.unshared import check
from sba_resilience.redis.watch import KeyWatch
from sba_resilience.redis.words import Reply, Word


class ClusterClient:
    """Commands to the primaries of a cluster; made by `open_redis`.

    Each primary has a shared connection, a breaker and `max_connections` of its own: one that hangs delays
    nobody else. When one fails, or says that a slot has moved, the nodes are asked in the background who
    serves what, until every slot is served again. A command that was redirected is sent once more; both
    attempts share one time limit.

    A command without keys goes to the first primary, by slot, that is connected. The keys of a command we
    have no rule for are asked of the server, which costs a round trip.

    Commands of one event-loop turn to one primary are executed in the order they were issued.

    Args:
        settings: With a `redis+cluster://` URL.
        clock: Monotonic seconds.

    Raises:
        ValueError: The URL is none, or holds options redis-py does not know.
    """

    def __init__(self, settings: RedisSettings, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._nodes = Nodes(settings, clock=clock)
        self._watches = ClusterBus(self._nodes, clock=clock)
        tell_of_fork(self)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.address} {self.state}>"

    @property
    def address(self) -> str:
        """The nodes the URL names; no credentials."""
        return ",".join(spelled(address) for address in self._nodes.places.addresses)

    @property
    def state(self) -> str:
        """`closed` while every slot is served, `open` while none is, `half_open` while some are."""
        working = [node.state == "closed" for node in self._nodes.primaries]
        if working and all(working) and self._nodes.covered:
            return "closed"
        return "half_open" if any(working) else "open"

    @property
    def server_id(self) -> str | None:
        """Which processes are the primaries, as far as known: other when one is restarted or replaced."""
        return ",".join(sorted(node.server_id for node in self._nodes.primaries if node.server_id)) or None

    @property
    def command_timeout(self) -> float:
        """Seconds within which every command answers."""
        return self._settings.command_timeout

    async def execute(self, *args: Word) -> Reply:
        """Run one command on the primary of its keys.

        Args:
            *args: Its words; text is sent as UTF-8.

        Returns:
            The RESP2 reply: bytes, int, None or a list of these.

        Raises:
            RedisUnavailable: No usable answer within the time limit; the command may have run.
            RedisCommandError: The server refused the command; `CROSSSLOT`: its keys are in different
                hash slots, and it was not sent.
            DeadlineExceeded: The current deadline passed first.
            UnshareableCommand: It would upset everyone else on a connection; it was not sent.
            WrongEventLoop: The client was opened in another one.
        """
        check(args)
        return await self.run(args)

    def send(self, *args: Word) -> asyncio.Future[Reply]:
        """Send one command now, for several callers at once, as `RedisClient.send` says."""
        check(args)
        return in_background(self.run(args))

    async def run(self, words: tuple[Word, ...], *, since: float | None = None) -> Reply:
        """Run one command that is known to suit a shared connection, as `execute` does.

        Args:
            words: The command.
            since: When its time limit began, in seconds of the event loop; now by default.
        """
        began = asyncio.get_running_loop().time() if since is None else since
        keys = keys_of(words)
        if keys is None:
            keys, since = await self._ask_for_keys(words, since=began), began
        node = self._nodes.serving(common_slot(keys))
        try:
            return await node.run(words, since=since)
        except RedisCommandError as error:
            redirect = Redirect.of(error, node.place)
            if redirect is None:
                raise
        except RedisUnavailable:
            self._nodes.look()
            raise
        return await self._follow(redirect, words, since=began)

    async def ping(self) -> None:
        """See that every slot has a primary that answers.

        Raises:
            RedisUnavailable: One has not.
        """
        self._nodes.serving(None)
        if not self._nodes.covered:
            raise RedisUnavailable("not_ready", "slots without a primary")
        try:
            await asyncio.gather(*(node.ping() for node in self._nodes.primaries))
        except RedisUnavailable:
            self._nodes.look()
            raise

    def script(self, text: str) -> Script:
        """A Lua script that is sent to each primary once and called by its hash."""
        return Script(self, text)

    def stream_reader(self, *, block: float = 2.0) -> ClusterStreamReader:
        """A reader of streams on one connection of its own to each primary that has some.

        Args:
            block: Seconds of silence after which a primary is asked whether it is there.
        """
        return ClusterStreamReader(self, self._nodes, block=block)

    def watch(self, prefix: str, changed: Callable[[str], None]) -> KeyWatch:
        """Hear of every change to keys that begin with `prefix`; connects to each primary in the background.

        Args:
            prefix: What the keys begin with.
            changed: Called in the event loop with each key that anyone wrote or deleted, or that expired
                or was evicted; it must not block. The watch ends with the object whose method this is.
        """
        return self._watches.watch(prefix, changed)

    def server_time(self) -> float | None:
        """The unix seconds of the first primary that told them, or None; waits for nothing."""
        readings = (node.server_time() for node in self._nodes.primaries if node.connected)
        return next((reading for reading in readings if reading is not None), None)

    async def probe(self) -> Capabilities:
        """Find out which of the commands in use the first primary lacks or forbids.

        Raises:
            RedisUnavailable: It cannot answer now, or every connection is taken.
        """
        return await self._nodes.serving(None).probe()

    async def warm_up(self) -> None:
        """Connect ahead of the first command; a cluster that is away is no error."""
        await self._nodes.warm_up()

    async def aclose(self) -> None:
        """Close every connection; commands in flight fail with reason `closed`."""
        if self._nodes.forked:
            return
        self._watches.close()
        await self._nodes.aclose()

    def forked(self) -> None:
        """Leave every connection to the parent process, and refuse to be used in this one."""
        self._nodes.forked = True
        self._watches.forked()

    async def _ask_for_keys(self, words: tuple[Word, ...], *, since: float) -> Sequence[Word]:
        asking = self._nodes.serving(None).run(("COMMAND", "GETKEYS", *words), since=since)
        try:
            keys: Sequence[Word] = await asking
        except RedisCommandError as error:
            if error.code == "NOPERM":
                raise
            return ()  # it has none, or is malformed and refused anywhere
        return keys

    async def _follow(self, redirect: Redirect, words: tuple[Word, ...], *, since: float) -> Reply:
        sending: Awaitable[Reply]
        if redirect.asking:
            sending = self._nodes.joined(redirect.address).run_asking(words, since=since)
        else:
            sending = self._nodes.moved(redirect.slot, redirect.address).run(words, since=since)
        try:
            return await sending
        except RedisCommandError as error:
            if Redirect.of(error, ("", 0)) is None:
                raise
            raise RedisUnavailable("not_ready", "redirected twice") from error
