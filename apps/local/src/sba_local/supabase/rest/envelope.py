"""One statement, one row: how many rows there are and all of them as text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from psycopg import sql

from sba_local.supabase.rest.binding import Part, listed
from sba_local.supabase.rest.media import Media

NO_BODY: Final = sql.SQL("null::text")
ZERO: Final = sql.SQL("null::bigint")


def body_of(media: Media) -> Part:
    """Rows `a` as the text of an answer; one object where one was asked for."""
    if media.shape == "csv":
        return sql.SQL(
            "coalesce((array_agg((select string_agg(k, ',') from json_object_keys(row_to_json(a.*)) k)))[1]"
            " || E'\\n' || string_agg("
            "substring(row(a.*)::text, 2, length(row(a.*)::text) - 2), E'\\n'), '')"
        )
    row = sql.SQL("json_strip_nulls(row_to_json(a.*))") if media.stripped else sql.SQL("row_to_json(a.*)")
    if media.shape == "object":
        return sql.SQL("coalesce(json_agg({}) -> 0, 'null')::text").format(row)
    return sql.SQL("coalesce(json_agg({}), '[]')::text").format(row)


def enclose(
    rows: Part, body: Part, *, extra: Sequence[Part] = (), given: Sequence[tuple[Part, Part]] = ()
) -> sql.Composed:
    """Count and body of rows.

    Args:
        rows: a SELECT.
        body: how to write the rows, which it calls `a`.
        extra: further columns of the answer.
        given: names and texts of the common table expressions that `rows` uses.
    """
    named = [sql.SQL("{} as ({})").format(name, text) for name, text in given]
    return sql.SQL("{}select count(*), {} from ({}) a").format(
        sql.SQL("with {} ").format(listed(named)) if named else sql.SQL(""),
        listed((body, *extra)),
        rows,
    )


def counted(rows: Part) -> Part:
    """How many rows, as a column."""
    return sql.SQL("(select count(*) from ({}) c)").format(rows)
