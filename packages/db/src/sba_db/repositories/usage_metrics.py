"""Usage: counters of what a tenant used, one row an hour and metric."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Final, LiteralString

from sba_db import payloads
from sba_db.errors import InvalidValue
from sba_db.method import repository_method
from sba_db.models import UsageMetric
from sba_db.sessions import ReadSession, WriteSession

MOST_LISTED: Final = 1000
MOST_AT_ONCE: Final = 100

ADD: Final[LiteralString] = """
insert into service.usage_metrics as u (tenant_id, period, metric, value)
select %(tenant)s, date_trunc('hour', now(), 'UTC'), m.metric, m.value
from unnest(%(metrics)s::text[], %(amounts)s::numeric[]) as m (metric, value)
order by m.metric
on conflict (tenant_id, period, metric) do update set value = u.value + excluded.value, updated_at = now()
"""
LIST: Final[LiteralString] = """
select u.tenant_id, u.period, u.metric, u.value, u.updated_at
from service.usage_metrics u
where u.tenant_id = %(tenant)s
  and u.period >= coalesce(%(since)s::timestamptz, '-infinity')
  and u.period < coalesce(%(until)s::timestamptz, 'infinity')
order by u.period desc, u.metric limit %(limit)s
"""


@repository_method
async def upsert_metrics(session: WriteSession, *, metrics: Mapping[str, Decimal | int]) -> None:
    """Add to this hour's counters, each atomically.

    Args:
        session: The transaction to add in.
        metrics: Up to 100 names (100 bytes each) and the amounts to add, not negative, six decimals kept.

    Raises:
        InvalidValue: A negative or infinite amount, or too many metrics.
    """
    if not metrics:
        return
    if len(metrics) > MOST_AT_ONCE:
        raise InvalidValue(f"has more than {MOST_AT_ONCE} entries", field="metrics")
    names = [payloads.text("metrics", name, limit=payloads.WORD) for name in metrics]
    amounts = [_amount(amount) for amount in metrics.values()]
    await session.execute(ADD, {"metrics": names, "amounts": amounts})


@repository_method
async def list_usage(
    reader: ReadSession, *, since: datetime | None = None, until: datetime | None = None, limit: int = 500
) -> list[UsageMetric]:
    """The tenant's counters of the hours from `since` to before `until`, newest first, at most `limit`.

    Raises:
        InvalidValue: The limit is not within 1 to 1000.
    """
    params = {"since": since, "until": until, "limit": payloads.page_size(limit, most=MOST_LISTED)}
    return [UsageMetric(**row) for row in await reader.fetch_all(LIST, params)]


def _amount(amount: Decimal | int) -> Decimal:
    value = Decimal(amount)
    if not value.is_finite() or value < 0:
        raise InvalidValue("has an amount that is negative or not finite", field="metrics")
    return value
