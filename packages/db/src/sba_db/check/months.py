"""Months that nobody has made, and rows that wait for theirs: what `sba-db retention` sees to."""

from __future__ import annotations

from typing import Final

from sba_db import partitions
from sba_db.check.difference import Difference
from sba_db.owner import OwnerConnection

NEEDED: Final = 1
"""Months ahead that have to be there; retention, once a day, makes more."""

ABLE: Final = """
select coalesce(bool_and(to_regprocedure(f) is not null), true) as able
from unnest(array[
    'service.month_partitions()', 'service.month_bounds(text, date)', 'service.moment_of(uuid)',
    'service.first_id_at(timestamptz)'
]) f
"""
DEFAULTS: Final = """
select t.name from unnest(%(tables)s::text[]) t (name)
where has_table_privilege(to_regclass(format('service.%%I', t.name || '_default')), 'select') order by t.name
"""


async def forgotten(connection: OwnerConnection) -> list[Difference]:
    """Tables without a partition for this month or the next, and rows set aside for lack of one.

    Rows of a month that has been let go count as well: they go with the next retention. Nothing is found
    where the functions that know of months are missing, which is a difference of its own.
    """
    able = await (await connection.execute(ABLE.encode())).fetchall()
    if not able[0]["able"]:
        return []
    lacking = await partitions.missing(connection, NEEDED)
    found = [
        Difference(one.table, _problem(f"there is no partition of {one.month:%Y-%m}")) for one in lacking
    ]
    after = (await partitions.months(connection, NEEDED + 1))[-1]
    tables = {"tables": list(partitions.TABLES)}
    for row in await (await connection.execute(DEFAULTS.encode(), tables)).fetchall():
        month = await partitions.stray(connection, row["name"], after)
        if month is not None:
            found.append(Difference(f"{row['name']}_default", _problem(f"holds rows of {month:%Y-%m}")))
    return found


def _problem(what: str) -> str:
    return f"{what}: run `sba-db retention`"
