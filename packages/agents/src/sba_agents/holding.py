"""Holding a run's lease while work goes on, and stopping the work when it is lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from sba_agents.errors import RunInterrupted
from sba_db import agent_runs
from sba_db.database import Database
from sba_db.errors import DatabaseError, InvalidTransition, LeaseLost, RunNotFound
from sba_db.models import Lease
from sba_db.sessions import TenantSession
from sba_telemetry.logs import get_logger

_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class LeaseTimes:
    """How long a lease lasts and how often it is renewed.

    Attributes:
        ttl: Seconds a lease outlives its last renewal.
        interval: Seconds between renewals; at most a third of `ttl` leaves room for a slow one.
    """

    ttl: float = 8.0
    interval: float = 2.0


@asynccontextmanager
async def held(database: Database, lease: Lease, times: LeaseTimes, *, since: float) -> AsyncIterator[None]:
    """Renew a lease for as long as the block runs.

    The block is cancelled as soon as the lease is known to be lost, and at the latest when it would lapse
    without a renewal, so that two workers never both believe that they hold it.

    Args:
        database: Where the lease is.
        lease: What to hold.
        times: How long and how often.
        since: The loop's time just before the lease was taken.

    Raises:
        RunInterrupted: The lease was lost, or could not be renewed in time.
    """
    scope = asyncio.timeout_at(since + times.ttl)
    try:
        async with scope:
            renewing = asyncio.create_task(_renew(database, lease, times, scope))
            try:
                yield
            finally:
                renewing.cancel()
                await asyncio.gather(renewing, return_exceptions=True)
    except TimeoutError:
        if not scope.expired():
            raise
        raise RunInterrupted(times.ttl) from None


async def _renew(database: Database, lease: Lease, times: LeaseTimes, scope: asyncio.Timeout) -> None:
    async def renew(session: TenantSession) -> None:
        await agent_runs.heartbeat(session, lease=lease, ttl_seconds=times.ttl)

    loop = asyncio.get_running_loop()
    while True:
        await asyncio.sleep(times.interval)
        started = loop.time()
        try:
            await database.run(lease.tenant_id, renew, idempotent=True)
        except (LeaseLost, InvalidTransition, RunNotFound):
            scope.reschedule(loop.time())
            return
        except DatabaseError as error:
            _log.warning("lease_not_renewed", reason=type(error).__name__)
        else:
            scope.reschedule(started + times.ttl)
