"""INSERT, UPDATE and DELETE: the rows come from one bound JSON text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import Final

from psycopg import sql

from sba_local.supabase.rest.binding import Binds, Part, all_of, listed, quoted
from sba_local.supabase.rest.catalog import Relation
from sba_local.supabase.rest.columns import Row
from sba_local.supabase.rest.errors import RestError, bad_body, column_missing
from sba_local.supabase.rest.payload import Payload, uniform
from sba_local.supabase.rest.preferences import Preferences
from sba_local.supabase.rest.querystring import Query

WRITTEN: Final = sql.Identifier("_sba_written")
FRESH: Final = sql.Identifier("_sba_fresh")
_W: Final = "w"
_MOST_DEFAULTED: Final = 10_000


@dataclass(frozen=True, slots=True)
class Writer:
    """Composes the write of one request.

    Attributes:
        relation: what is written to.
        query: what was asked.
        preferences: how.
        binds: where values go.
    """

    relation: Relation
    query: Query
    preferences: Preferences
    binds: Binds

    def insert(
        self, payload: Payload, returning: Sequence[Part], key: Mapping[str, str] | None = None
    ) -> Part:
        """INSERT, with ON CONFLICT where duplicates are to be resolved.

        Args:
            payload: the rows.
            returning: columns of those that were written.
            key: what a row must have to be written, by column; a row without that is left out.

        Raises:
            RestError: PGRST102 or PGRST204, the rows do not fit the table.
        """
        columns = self._columns(payload)
        if self.query.columns is None and not self.preferences.defaults:
            uniform(payload)
        return sql.SQL("insert into {} as {} {}{}{}").format(
            self.relation.name.quoted,
            quoted(_W),
            self._source(payload, columns, key or {}),
            self._conflict(columns),
            _returning((*returning, *self._fresh())),
        )

    def update(self, payload: Payload, returning: Sequence[Part]) -> Part | None:
        """UPDATE, or None where there is nothing to set.

        Raises:
            RestError: PGRST204, or 21000 without a filter.
        """
        columns = self._columns(payload)
        if not columns or not payload.rows:
            return None
        where = self._where("UPDATE")
        body = sql.SQL("json_to_recordset({}::json)").format(self.binds.add(payload.text))
        return sql.SQL("update {} as {} set {} from {} where {}{}").format(
            self.relation.name.quoted,
            quoted(_W),
            listed(self._settings(payload, columns)),
            self._record(body, columns),
            where,
            _returning(returning),
        )

    def delete(self, returning: Sequence[Part]) -> Part:
        """DELETE.

        Raises:
            RestError: 21000 without a filter.
        """
        where = self._where("DELETE")
        return sql.SQL("delete from {} as {} where {}{}").format(
            self.relation.name.quoted, quoted(_W), where, _returning(returning)
        )

    @property
    def merges(self) -> bool:
        """Whether duplicates are updated, so that new rows have to be told from old ones."""
        return self.preferences.resolution == "merge-duplicates" and self.relation.stored

    def column(self, name: str) -> Part:
        """A column of the rows written."""
        self.relation.check(name)
        return quoted(_W, name)

    @property
    def everything(self) -> Part:
        """All columns of the rows written."""
        return sql.SQL("{}.*").format(quoted(_W))

    def _columns(self, payload: Payload) -> tuple[str, ...]:
        columns = self.query.columns
        if columns is None:
            columns = tuple(dict.fromkeys(key for row in payload.rows for key in row))
        for column in columns:
            if column not in self.relation.types:
                raise column_missing(self.relation.name.name, column)
        return columns

    def _source(self, payload: Payload, columns: Sequence[str], key: Mapping[str, str]) -> Part:
        if not columns:
            text = self.binds.add(payload.text)
            return sql.SQL("select from json_array_elements({}::json)").format(text)
        names = listed(map(quoted, columns))
        if self.preferences.defaults and not key:
            if len(payload.rows) > _MOST_DEFAULTED:
                raise bad_body(
                    f"At most {_MOST_DEFAULTED} rows may have their missing members defaulted at once"
                )
            rows = map(self._cells, payload.texts(), payload.rows, repeat(columns))
            return sql.SQL("({}) values {}").format(names, listed(rows))
        values = listed(quoted("b", column) for column in columns)
        body = sql.SQL("json_to_recordset({}::json)").format(self.binds.add(payload.text))
        record = self._record(body, columns)
        wanted = [
            sql.SQL("{} = {}").format(quoted("b", column), self.binds.add(value))
            for column, value in key.items()
        ]
        where = sql.SQL(" where {}").format(all_of(wanted)) if wanted else sql.SQL("")
        return sql.SQL("({}) select {} from {}{}").format(names, values, record, where)

    def _cells(self, text: str, row: Mapping[str, object], columns: Sequence[str]) -> Part:
        """One row whose missing members are DEFAULT."""
        place = sql.SQL("json_to_record({}::json)").format(self.binds.add(text))
        cells = (
            sql.SQL("(select {} from {})").format(quoted("b", column), self._record(place, (column,)))
            if column in row
            else sql.SQL("default")
            for column in columns
        )
        return sql.SQL("({})").format(listed(cells))

    def _record(self, source: Part, columns: Sequence[str]) -> Part:
        """Part of the body as rows `b` of the columns' types."""
        shape = listed(
            sql.SQL("{} {}").format(quoted(column), self.relation.types[column].quoted) for column in columns
        )
        return sql.SQL("{} as b({})").format(source, shape)

    def _settings(self, payload: Payload, columns: Sequence[str]) -> Iterator[Part]:
        for column in columns:
            if self.preferences.defaults and column not in payload.rows[0]:
                yield sql.SQL("{} = default").format(quoted(column))
            else:
                yield sql.SQL("{} = {}").format(quoted(column), quoted("b", column))

    def _conflict(self, columns: Sequence[str]) -> Part:
        keys = self.query.on_conflict or self.relation.primary_key
        if self.preferences.resolution is None or not keys:
            return sql.SQL("")
        for key in keys:
            self.relation.check(key)
        if self.preferences.resolution == "ignore-duplicates" or not columns:
            action: Part = sql.SQL("nothing")
        else:
            action = sql.SQL("update set {}").format(
                listed(
                    sql.SQL("{} = {}").format(quoted(column), quoted("excluded", column))
                    for column in columns
                )
            )
        return sql.SQL(" on conflict ({}) do {}").format(listed(map(quoted, keys)), action)

    def _fresh(self) -> Iterator[Part]:
        if self.merges:
            yield sql.SQL("({} = 0) as {}").format(quoted(_W, "xmax"), FRESH)

    def _where(self, verb: str) -> Part:
        conditions = self.query.outer.conditions
        if not conditions:
            raise RestError(400, "21000", f"{verb} requires a WHERE clause")
        row = Row(self.relation, _W, self.binds, {})
        return all_of(map(row.condition, conditions))


def _returning(parts: Sequence[Part]) -> Part:
    return sql.SQL(" returning {}").format(listed(parts or (sql.SQL("1"),)))
