"""Which dependencies answer, asked once for however many ask at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from sba_db.database import Database
from sba_resilience.redis import RedisClient
from sba_supabase import KeySet
from sba_supabase.errors import KeyUnknown

_TIMEOUT = 2.0
_REQUIRED = frozenset({"postgres", "jwks"})
_NO_KEY = "readiness"


@dataclass(frozen=True, slots=True)
class Readiness:
    """Each dependency by name: None when it answers, else what is wrong in a word."""

    dependencies: dict[str, str | None]

    @property
    def missing(self) -> list[str]:
        """The dependencies that do not answer, by name."""
        return sorted(name for name, reason in self.dependencies.items() if reason is not None)

    @property
    def status(self) -> str:
        """`ready`, `degraded` (requests are still answered) or `unavailable`."""
        if not self.missing:
            return "ready"
        return "unavailable" if _REQUIRED & set(self.missing) else "degraded"


class Probe:
    """Asks Postgres (as whom it serves, too), Redis, and the issuer until its keys have come once."""

    def __init__(self, database: Database, redis: RedisClient, keys: KeySet) -> None:
        self._checks: dict[str, Callable[[], Awaitable[object]]] = {
            "postgres": database.verify_role,
            "redis": redis.ping,
            "jwks": self._keys_came,
        }
        self._keys = keys
        self._have_keys = False
        self._asking: asyncio.Task[Readiness] | None = None

    async def ask(self) -> Readiness:
        """Ask every dependency at once, each within two seconds."""
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask())
        return await asyncio.shield(self._asking)

    async def _ask(self) -> Readiness:
        reasons = await asyncio.gather(*(_reason(check) for check in self._checks.values()))
        return Readiness(dict(zip(self._checks, reasons, strict=True)))

    async def _keys_came(self) -> None:
        if self._have_keys:
            return
        try:
            await self._keys.find(_NO_KEY)
        except KeyUnknown:
            self._have_keys = True


async def _reason(ask: Callable[[], Awaitable[object]]) -> str | None:
    try:
        async with asyncio.timeout(_TIMEOUT):
            await ask()
    except TimeoutError:
        return "Timeout"
    except Exception as error:  # noqa: BLE001 - whatever is wrong, the answer names its kind
        return type(error).__name__
    return None
