"""Connect to whichever server the sentinels call the primary, and see that it agrees."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final
from urllib.parse import quote

from redis.asyncio.connection import AbstractConnection
from redis.exceptions import NoPermissionError

from sba_resilience.errors import RedisUnavailable
from sba_resilience.redis.dial import Dialer, Greeted
from sba_resilience.redis.places import Address, Places, spelled
from sba_resilience.redis.settings import RedisSettings
from sba_resilience.redis.words import Reply, Word

PRIMARY: Final = b"master"


class SentinelDialer(Dialer):
    """Makes connections to the primary of a service.

    Every connection begins with asking all sentinels at once; they are believed as soon as more than half
    agree, and what they name must say of itself that it is the primary.

    Args:
        settings: With a `redis+sentinel://` URL.
        clock: Monotonic seconds.

    Raises:
        ValueError: The URL is none, or holds options redis-py does not know.
    """

    __slots__ = ("_places", "_sentinels")

    def __init__(self, settings: RedisSettings, *, clock: Callable[[], float] = time.monotonic) -> None:
        places = Places.of(settings.url)
        self._places = places
        login = _login(settings, places)
        self._sentinels = [
            _Sentinel(replace(settings, url=places.sentinel_url_of(address, login)), clock=clock)
            for address in places.addresses
        ]
        super().__init__(replace(settings, url=places.url_of(places.addresses[0])), clock=clock)
        self.address = f"{places.service} of {','.join(map(spelled, places.addresses))}"

    async def dial(self) -> Greeted:
        """A connected stream to the primary.

        Raises:
            RedisUnavailable: No sentinel knows it, it cannot be reached, or it is a replica by now.
        """
        host, port = await self._primary()
        self._options |= {"host": host, "port": port}
        self.address = f"{self._places.service} at {spelled((host, port))}"
        return await super().dial()

    async def _primary(self) -> Address:
        asking = [asyncio.ensure_future(one.primary_of(self._places.service)) for one in self._sentinels]
        try:
            return await _agreed(asking)
        finally:
            for each in asking:
                each.cancel()
            await asyncio.gather(*asking, return_exceptions=True)

    async def _greeted(self, connection: AbstractConnection) -> Greeted:
        try:
            role = await _asked(connection, "ROLE")
        except NoPermissionError:
            return await super()._greeted(connection)  # not allowed to know: the sentinels are believed
        if role[0] != PRIMARY:
            raise RedisUnavailable("not_ready", "not the primary")
        return await super()._greeted(connection)


class _Sentinel(Dialer):
    """One sentinel."""

    __slots__ = ()

    async def primary_of(self, service: str) -> Address:
        """Whom it takes for the primary.

        Raises:
            RedisUnavailable: It does not answer, or knows of none.
        """
        async with self._opened() as connection:
            found = await _asked(connection, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", service)
        if not found:
            raise RedisUnavailable("not_ready", "a sentinel does not know the service")
        return str(found[0], "utf-8"), int(found[1])


async def _asked(connection: AbstractConnection, *words: Word) -> Reply:
    await connection.send_command(*words, check_health=False)
    return await connection.read_response()


async def _agreed(asking: Sequence[asyncio.Future[Address]]) -> Address:
    """What more than half of them answer; without such a majority, what most of those that answer do."""
    failure = RedisUnavailable("refused", "no sentinel answers")
    named: Counter[Address] = Counter()
    for answer in asyncio.as_completed(asking):
        try:
            address = await answer
        except RedisUnavailable as error:
            failure = error
            continue
        named[address] += 1
        if named[address] > len(asking) // 2:
            return address
    if not named:
        raise failure
    return named.most_common(1)[0][0]


def _login(settings: RedisSettings, places: Places) -> str:
    user = settings.sentinel_username or places.sentinel_options.get("sentinel_username", "")
    password = settings.sentinel_password or places.sentinel_options.get("sentinel_password", "")
    return f"{quote(user, safe='')}:{quote(password, safe='')}@" if password else ""
