"""Health: what each component last said of itself; belongs to no tenant."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, LiteralString

from sba_db import cursors, payloads
from sba_db.database import Database
from sba_db.ids import new_id
from sba_db.method import platform_method
from sba_db.models import HealthStatus, Json, Page, SystemHealth
from sba_db.plans import Row

LIST_KIND: Final = "hlt"
MOST_LISTED: Final = 1000

RECORD: Final[LiteralString] = """
insert into service.system_health as h (id, component, status, detail)
values (%(id)s, %(component)s, %(status)s::service.health_status, %(detail)s::jsonb)
returning h.id, h.component, h.status, h.detail, h.created_at
"""
LATEST: Final[LiteralString] = """
with recursive names as (
    select min(h.component) as component from service.system_health h
    union all
    select (select min(h.component) from service.system_health h where h.component > n.component)
    from names n where n.component is not null
)
select h.id, h.component, h.status, h.detail, h.created_at
from names n
cross join lateral (
    select * from service.system_health s where s.component = n.component order by s.id desc limit 1
) h
order by h.component
"""
HISTORY: Final[LiteralString] = """
select h.id, h.component, h.status, h.detail, h.created_at
from service.system_health h
where h.component = %(component)s and h.id < %(before)s
order by h.id desc limit %(limit)s
"""


@platform_method
async def record_health(
    database: Database,
    *,
    component: str,
    status: HealthStatus | str,
    detail: Mapping[str, Json] | None = None,
) -> SystemHealth:
    """Store what a component says of itself.

    Args:
        database: Where.
        component: Its name, up to 100 bytes.
        status: ok, degraded or down.
        detail: A JSON object of up to 16 KiB.

    Raises:
        PayloadTooLarge: A field over its limit.
        InvalidValue: A field that cannot be stored.
    """
    params = {
        "id": new_id(),
        "component": payloads.text("component", component, limit=payloads.WORD),
        "status": payloads.choice("status", status, HealthStatus),
        "detail": payloads.mapping("detail", detail, limit=payloads.OPTIONS),
    }
    return _to_health((await database.system(RECORD, params, write=True))[0])


@platform_method
async def latest(database: Database) -> list[SystemHealth]:
    """The last word of every component, by name."""
    return [_to_health(row) for row in await database.system(LATEST)]


@platform_method
async def history(
    database: Database, *, component: str, limit: int = 100, cursor: str | None = None
) -> Page[SystemHealth]:
    """What a component has said of itself, from new to old.

    Args:
        database: Where.
        component: Its name.
        limit: Words a page, 1 to 1000.
        cursor: The `next_cursor` of the page before.

    Raises:
        InvalidCursor: Not a cursor of this list.
        InvalidValue: The limit is out of range.
    """
    size = payloads.page_size(limit, most=MOST_LISTED)
    params = {"component": component, "before": cursors.decode(LIST_KIND, cursor), "limit": size + 1}
    rows = await database.system(HISTORY, params)
    more = cursors.encode(LIST_KIND, rows[size - 1]["id"]) if len(rows) > size else None
    return Page(tuple(_to_health(row) for row in rows[:size]), more)


def _to_health(row: Row) -> SystemHealth:
    return SystemHealth(**{**row, "status": HealthStatus(row["status"])})
