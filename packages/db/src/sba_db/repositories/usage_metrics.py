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
from sba_db.moments import moment
from sba_db.sessions import ReadSession, WriteSession

MOST_LISTED: Final = 1000
MOST_AT_ONCE: Final = 100
DECIMALS: Final = 6
TOO_MUCH: Final = Decimal(10**18)

ADD: Final[LiteralString] = """
insert into service.usage_metrics as u (tenant_id, period, metric, value)
select %(tenant)s, date_trunc('hour', coalesce(%(at)s::timestamptz, now()), 'UTC'), m.metric, m.value
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
TOTALS: Final[LiteralString] = """
select u.metric, sum(u.value) as value
from service.usage_metrics u
where u.tenant_id = %(tenant)s
  and u.period >= coalesce(%(since)s::timestamptz, '-infinity')
  and u.period < coalesce(%(until)s::timestamptz, 'infinity')
group by u.metric order by u.metric
"""


@repository_method
async def upsert_metrics(
    session: WriteSession, *, metrics: Mapping[str, Decimal | int], at: datetime | None = None
) -> None:
    """Add to an hour's counters, each atomically: tokens, calls, money.

    Args:
        session: The transaction to add in.
        metrics: Up to 100 names (100 bytes each) such as `tokens_input` or `cost_usd`, and the amounts to
            add: not negative, with up to six decimals. Nothing is rounded, so money stays exact.
        at: A moment of the hour; now by the database's clock when None.

    Raises:
        InvalidValue: An amount that is negative, not finite, too large or too fine, too many metrics, or no
            time zone.
    """
    if not metrics:
        return
    if len(metrics) > MOST_AT_ONCE:
        raise InvalidValue(f"has more than {MOST_AT_ONCE} entries", field="metrics")
    names = [payloads.text("metrics", name, limit=payloads.WORD) for name in metrics]
    amounts = [_amount(amount) for amount in metrics.values()]
    await session.execute(ADD, {"metrics": names, "amounts": amounts, "at": moment("at", at)})


@repository_method
async def list_usage(
    reader: ReadSession, *, since: datetime | None = None, until: datetime | None = None, limit: int = 500
) -> list[UsageMetric]:
    """The tenant's counters of the hours from `since` to before `until`, newest first, at most `limit`.

    Raises:
        InvalidValue: The limit is not within 1 to 1000, or a time has no zone.
    """
    params = _span(since, until) | {"limit": payloads.page_size(limit, most=MOST_LISTED)}
    return [UsageMetric(**row) for row in await reader.fetch_all(LIST, params)]


@repository_method
async def total_usage(
    reader: ReadSession, *, since: datetime | None = None, until: datetime | None = None
) -> dict[str, Decimal]:
    """What each of the tenant's counters comes to over the hours from `since` to before `until`, exactly.

    Raises:
        InvalidValue: A time has no zone.
    """
    rows = await reader.fetch_all(TOTALS, _span(since, until))
    return {row["metric"]: row["value"] for row in rows}


def _span(since: datetime | None, until: datetime | None) -> dict[str, object]:
    return {"since": moment("since", since), "until": moment("until", until)}


def _amount(amount: Decimal | int) -> Decimal:
    value = Decimal(amount)
    if not value.is_finite() or value < 0:
        raise InvalidValue("has an amount that is negative or not finite", field="metrics")
    if value >= TOO_MUCH:
        raise InvalidValue(f"has an amount of {TOO_MUCH} or more", field="metrics")
    if value != round(value, DECIMALS):
        raise InvalidValue(f"has an amount with more than {DECIMALS} decimals", field="metrics")
    return value
