"""PUT: inserts or replaces the row that its primary key names (PostgREST: references/api/tables_views)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from sba_local.supabase.rest.catalog import Relation
from sba_local.supabase.rest.conditions import Comparison, Condition
from sba_local.supabase.rest.errors import RestError
from sba_local.supabase.rest.payload import Payload
from sba_local.supabase.rest.preferences import Preferences
from sba_local.supabase.rest.querystring import Query


def key_of(relation: Relation, query: Query) -> Mapping[str, str]:
    """The primary key that the filters name, by column.

    Raises:
        RestError: PGRST105, they name something else; PGRST114, with a limit or an offset.
    """
    if query.outer.limit is not None or query.outer.offset:
        raise RestError(400, "PGRST114", "limit/offset querystring parameters are not allowed for PUT")
    named = [_named(condition) for condition in query.outer.conditions]
    key = dict(pair for pair in named if pair is not None)
    columns = relation.primary_key
    if not columns or None in named or len(named) != len(columns) or set(key) != set(columns):
        message = "Filters must include all and only primary key columns with 'eq' operators"
        raise RestError(405, "PGRST105", message)
    return key


def merging(preferences: Preferences) -> Preferences:
    """The same preferences, by which a row that is there already is replaced."""
    return replace(preferences, chosen={**preferences.chosen, "resolution": "merge-duplicates"})


def first_of(payload: Payload) -> Payload:
    """The first row alone."""
    if not payload.rows:
        return payload
    return replace(payload, text=f"[{next(payload.texts())}]", rows=payload.rows[:1])


def mismatched() -> RestError:
    """PGRST115."""
    return RestError(400, "PGRST115", "Payload values do not match URL in primary key column(s)")


def _named(condition: Condition) -> tuple[str, str] | None:
    """Column and value, where it is as plain as a key."""
    if not isinstance(condition, Comparison) or isinstance(condition.value, tuple):
        return None
    plain = condition.operator == "eq" and not (
        condition.negated or condition.modifier or condition.field.path
    )
    return (condition.field.name, condition.value) if plain else None
