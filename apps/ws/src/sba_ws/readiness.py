"""Which dependencies answer, asked once for however many ask at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from sba_ws.answers import Answer, document

Check = Callable[[], Awaitable[object]]

_TIMEOUT = 2.0


class Probe:
    """Asks every dependency.

    Args:
        checks: By name; one that returns is well.
        required: Without these no client can be served; without the others it only gets slower.
    """

    def __init__(self, checks: Mapping[str, Check], *, required: frozenset[str]) -> None:
        self._checks = dict(checks)
        self._required = required
        self._asking: asyncio.Task[Answer] | None = None

    async def answer(self) -> Answer:
        """200 while clients can be served, else 503; the body names what is missing and why."""
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask())
        return await asyncio.shield(self._asking)

    async def _ask(self) -> Answer:
        reasons = await asyncio.gather(*(_reason(check) for check in self._checks.values()))
        found = dict(zip(self._checks, reasons, strict=True))
        missing = sorted(name for name, reason in found.items() if reason is not None)
        status = "ready"
        if missing:
            status = "unavailable" if self._required & set(missing) else "degraded"
        dependencies = {name: _described(reason) for name, reason in found.items()}
        body = {"status": status, "missing": missing, "dependencies": dependencies}
        return document(503 if status == "unavailable" else 200, body)


def _described(reason: str | None) -> dict[str, str]:
    return {"status": "ok"} if reason is None else {"status": "missing", "reason": reason}


async def _reason(check: Check) -> str | None:
    try:
        async with asyncio.timeout(_TIMEOUT):
            await check()
    except TimeoutError:
        return "Timeout"
    except Exception as error:  # noqa: BLE001 - whatever is wrong, the answer names its kind
        return type(error).__name__
    return None
