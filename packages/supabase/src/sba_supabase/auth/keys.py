"""The issuer's signing keys, fetched seldom and trusted for a stated time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

import httpx

from sba_supabase.auth.jwk import VerificationKey, read_key_set
from sba_supabase.errors import KeysUnavailable, KeyUnknown
from sba_telemetry import counter, get_logger

_RENEW_AT: Final = 0.8  # of the ttl: renewed in the background before anyone has to wait
_FIRST_RETRY: Final = 1.0
_LONGEST_BODY: Final = 65_536
_NEVER: Final = float("-inf")
_HEADERS: Final = {"accept": "application/json", "accept-encoding": "identity"}

_log = get_logger(__name__)
_fetches = counter("sba.auth.keyset.fetches", description="Fetches of the issuer's key set, by outcome.")


class KeySet:
    """A cache of a JWKS document.

    A key that is known is served from memory and renewed in the background, also while its host is down, hung
    or talking nonsense; a set without a usable key is nonsense too, until the set before it is older than
    `ttl`. The bounds, with the defaults in brackets:

    - a removed key is refused within `ttl + 2 * cooldown + timeout` [662 s] of its removal while the host
      answers, and within `max_stale` [3600 s] whatever the host does;
    - keys nobody has heard of cause at most one fetch per `cooldown` [30 s], and whoever brings one waits
      `patience` [50 ms] at most: the fetch goes on, and who asks again after it is served;
    - only the very first fetch is waited for `timeout` [2 s] long; until one succeeds they are retried after
      1, 2, 4 … `cooldown` seconds, when a token asks.

    One instance belongs to one event loop.

    Args:
        jwks_url: where the keys are published; redirects are not followed.
        http: the client to fetch with; it stays the caller's to close.
        clock: a monotonic clock, in seconds.
        ttl: seconds for which a fetched set is fresh.
        cooldown: seconds between two fetches for unknown keys, or after a failure.
        timeout: seconds a fetch may take, from connecting to the last byte.
        patience: seconds for which an unknown key is waited for, once a fetch has succeeded or failed.
        max_stale: seconds after which keys that could not be renewed are dropped.
    """

    def __init__(
        self,
        jwks_url: str,
        *,
        http: httpx.AsyncClient,
        clock: Callable[[], float] = time.monotonic,
        ttl: float = 600.0,
        cooldown: float = 30.0,
        timeout: float = 2.0,
        patience: float = 0.05,
        max_stale: float = 3600.0,
    ) -> None:
        self._url = jwks_url
        self._http = http
        self._clock = clock
        self._ttl = ttl
        self._cooldown = cooldown
        self._timeout = timeout
        self._patience = patience
        self._max_stale = max(ttl, max_stale)
        self._keys: dict[str, VerificationKey] = {}
        self._fetched_at = _NEVER
        self._attempted_at = _NEVER
        self._missed_at = _NEVER
        self._failures = 0
        self._sought = ""
        self._fetching: asyncio.Task[None] | None = None
        self._awaited = False

    def peek(self, kid: str) -> VerificationKey | None:
        """A key that may be trusted now, without waiting; a renewal that is due is started.

        Returns:
            None when it is not known, or so old that the host must be asked first (`find`).
        """
        key = self._keys.get(kid)
        if key is None:
            return None
        now = self._clock()
        age = now - self._fetched_at
        if age < self._ttl * _RENEW_AT:
            return key
        if age >= self._max_stale or self._must_wait(now):
            return None
        return key

    async def find(self, kid: str) -> VerificationKey:
        """The key of that name.

        Raises:
            KeyUnknown: the issuer publishes no usable key of that name.
            KeysUnavailable: it is not known, and the issuer cannot be asked now.
        """
        key = self.peek(kid)
        if key is not None:
            return key
        await self._ask(kid)
        found = self._keys.get(kid)
        if found is None or self._is_dead(self._clock()):
            raise self._absence()
        return found

    async def aclose(self) -> None:
        """Give up a fetch that is under way."""
        task = self._fetching
        if task is not None:
            task.cancel()
            await asyncio.wait((task,))

    def _is_dead(self, now: float) -> bool:
        return now - self._fetched_at >= self._max_stale

    def _retry_delay(self) -> float:
        """Seconds to leave between attempts while there are no keys at all."""
        if self._failures == 0:
            return 0.0
        return float(min(self._cooldown, _FIRST_RETRY * 2 ** min(self._failures - 1, 16)))

    def _must_wait(self, now: float) -> bool:
        """Start the renewal that is due, and say whether its answer has to be awaited.

        It has to where nobody asked for so long that the key may be long removed. Where a host that
        fails is asked every cooldown, nobody waits for it.
        """
        if self._fetching is None and (self._failures == 0 or now - self._attempted_at >= self._cooldown):
            self._start(now)
        return self._fetching is not None and self._awaited

    async def _ask(self, kid: str) -> None:
        """Wait for the fetch under way, or for a new one if that is allowed."""
        now = self._clock()
        if self._fetching is None and self._may_search(now):
            self._missed_at = now
            self._sought = "" if kid in self._keys else kid
            self._start(now)
        if self._fetching is not None:
            hurried = kid not in self._keys and (self._failures > 0 or not self._is_dead(now))
            await asyncio.wait((self._fetching,), timeout=self._patience if hurried else None)

    def _may_search(self, now: float) -> bool:
        if self._is_dead(now):
            return now - self._attempted_at >= self._retry_delay()
        return now - self._missed_at >= self._cooldown

    def _absence(self) -> KeyUnknown | KeysUnavailable:
        now = self._clock()
        if self._is_dead(now):
            return KeysUnavailable(max(_FIRST_RETRY, self._attempted_at + self._retry_delay() - now))
        if self._fetching is not None:
            return KeysUnavailable(_FIRST_RETRY)
        if self._failures:
            return KeysUnavailable(max(_FIRST_RETRY, self._missed_at + self._cooldown - now))
        return KeyUnknown()

    def _start(self, now: float) -> None:
        idle = now - self._attempted_at >= 2 * self._cooldown
        self._awaited = idle and now - self._fetched_at >= self._ttl
        self._attempted_at = now
        self._fetching = asyncio.create_task(self._fetch(now))

    async def _fetch(self, now: float) -> None:
        """Fetch once; a failure of any kind leaves the keys as they are."""
        try:
            async with asyncio.timeout(self._timeout):
                keys = read_key_set(await self._download())
            self._install(keys, now)
        except Exception as error:  # noqa: BLE001 - whatever the host or the client does, known keys keep working
            self._failures += 1
            _fetches.add(1, {"outcome": "failed"})
            _log.warning("auth.keyset.fetch_failed", reason=type(error).__name__, failures=self._failures)
        else:
            _fetches.add(1, {"outcome": "fetched"})
        finally:
            self._fetching = None

    def _install(self, keys: dict[str, VerificationKey], now: float) -> None:
        """Take over a set, keeping the objects of keys that have not changed.

        Raises:
            ValueError: it has no keys, and the one held is fresh: sooner a fault than a revocation of all.
        """
        known = self._keys
        if known and not keys and now - self._fetched_at < self._ttl:
            raise ValueError("an empty key set")
        if self._sought in keys:
            self._missed_at = _NEVER  # a rotated key is no flood: the next one may ask at once
        self._sought = ""
        self._keys = {kid: known[kid] if key.is_same(known.get(kid)) else key for kid, key in keys.items()}
        self._fetched_at = now
        self._failures = 0

    async def _download(self) -> bytes:
        body = bytearray()
        async with self._http.stream("GET", self._url, headers=_HEADERS, follow_redirects=False) as response:
            encoding = response.headers.get("content-encoding", "identity")
            if response.status_code != httpx.codes.OK or encoding != "identity":
                raise ValueError("not a plain 200 answer")
            async for chunk in response.aiter_bytes():
                body += chunk
                if len(body) > _LONGEST_BODY:
                    raise ValueError("the key set is too large")
        return bytes(body)
