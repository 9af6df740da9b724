"""What a run tells the world: the table holds its events, Redis only carries them."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from sba_agents.errors import MalformedEvent
from sba_db import run_events
from sba_db.models import RunEvent
from sba_db.sessions import ReadSession
from sba_resilience.errors import RedisCommandError, RedisUnavailable
from sba_telemetry.logs import get_logger

if TYPE_CHECKING:
    from sba_resilience.redis import RedisClient

__all__ = [
    "FIELD",
    "SHARDS",
    "TERMINAL",
    "RunEvent",
    "announce",
    "decode",
    "encode",
    "publish",
    "read",
    "stream_key",
]

SHARDS: Final = 16
FIELD: Final = "e"
TERMINAL: Final = frozenset({"run.succeeded", "run.failed", "run.cancelled"})
MAX_ENTRIES: Final = 10_000

_log = get_logger(__name__)


def stream_key(tenant_id: UUID) -> str:
    """The stream that carries a tenant's events: one of 16, the same on every node."""
    return f"sba:events:{zlib.crc32(tenant_id.bytes) % SHARDS}"


def encode(event: RunEvent) -> bytes:
    """An event as the compact JSON of a stream entry's only field."""
    words = [
        str(event.tenant_id),
        str(event.run_id),
        event.seq,
        event.type,
        event.data,
        event.created_at.isoformat(),
    ]
    return json.dumps(words, separators=(",", ":"), ensure_ascii=False).encode()


def decode(payload: bytes | Mapping[Any, bytes]) -> RunEvent:
    """The event of a stream entry.

    Args:
        payload: What `encode` made, or the entry's fields.

    Raises:
        MalformedEvent: It is something else.
    """
    try:
        raw = payload if isinstance(payload, bytes) else _field(payload)
        tenant, run, seq, kind, data, at = json.loads(raw)
        return RunEvent(
            tenant_id=UUID(tenant),
            run_id=UUID(run),
            seq=_typed(seq, int),
            type=_typed(kind, str),
            data=_typed(data, dict),
            created_at=datetime.fromisoformat(at),
        )
    except (ValueError, TypeError, AttributeError, KeyError, RecursionError) as error:
        raise MalformedEvent("a stream entry is not a run event") from error


async def publish(redis: RedisClient | None, events: Iterable[RunEvent]) -> None:
    """Carry committed events to whoever listens, in order.

    A failure is logged and swallowed: the table holds the events and listeners fill the hole from there.

    Args:
        redis: Where to; None means nobody listens.
        events: Events whose transaction has committed.
    """
    if redis is None:
        return
    try:
        for event in events:
            await redis.execute(
                "XADD", stream_key(event.tenant_id), "MAXLEN", "~", MAX_ENTRIES, "*", FIELD, encode(event)
            )
    except (RedisUnavailable, RedisCommandError) as error:
        _log.warning("events_not_carried", reason=str(error))


async def read(reader: ReadSession, run_id: UUID, after: int = 0, *, limit: int = 500) -> list[RunEvent]:
    """A run's events from the table, oldest first.

    Args:
        reader: Of the run's tenant.
        run_id: The run; an unknown or foreign one has no events.
        after: Only events with a greater `seq`.
        limit: At most this many.
    """
    return await run_events.read_events(reader, run_id, after=after, limit=limit)


async def announce(redis: RedisClient | None, reader: ReadSession, run_id: UUID, *, after: int = 0) -> None:
    """Carry what another transaction has just committed, such as a cancellation.

    Args:
        redis: Where to.
        reader: Of the run's tenant, outside that transaction.
        run_id: The run.
        after: The last `seq` that was carried already; carrying one twice does no harm.
    """
    await publish(redis, await read(reader, run_id, after))


def _field(fields: Mapping[Any, bytes]) -> bytes:
    return fields[FIELD.encode()] if FIELD.encode() in fields else fields[FIELD]


def _typed(value: Any, expected: type) -> Any:  # noqa: ANN401 - it is what is being found out
    if type(value) is not expected:
        raise TypeError(expected.__name__)
    return value
