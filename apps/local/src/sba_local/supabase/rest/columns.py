"""Columns, paths and filters as SQL."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from psycopg import sql

from sba_local.supabase.rest.binding import Binds, Part, array_literal, quoted
from sba_local.supabase.rest.catalog import Name, Relation
from sba_local.supabase.rest.conditions import (
    QUANTIFIED,
    SEARCHES,
    STATES,
    SYMBOLS,
    Comparison,
    Condition,
    Group,
)
from sba_local.supabase.rest.errors import RestError
from sba_local.supabase.rest.fields import Field, Step

_JSONB: Final = Name("pg_catalog", "jsonb")
_VECTOR: Final = Name("pg_catalog", "tsvector")
_JOINS: Final = {"and": sql.SQL(" and "), "or": sql.SQL(" or ")}
_PATTERNS: Final = ("like", "ilike")
NEVER: Final = sql.SQL("false")


def _word(text: str) -> Part:
    """An operator, keyword or function out of this package's own tables."""
    return sql.SQL(text)


@dataclass(frozen=True, slots=True)
class Row:
    """One resource within a statement.

    Attributes:
        relation: what it is.
        alias: what the statement calls it.
        binds: where values go.
        embedded: what tells whether an embedded resource is there, by its label.
    """

    relation: Relation
    alias: str
    binds: Binds
    embedded: Mapping[str, Part]

    def field(self, field: Field) -> Part:
        """A column, or what a path leads to in it.

        Raises:
            SchemaMiss: 42703, there is no such column.
        """
        self.relation.check(field.name)
        column = quoted(self.alias, field.name)
        if not field.path:
            return column
        if self.relation.types.get(field.name) != _JSONB:
            column = sql.SQL("to_jsonb({})").format(column)
        return sql.SQL("({})").format(sql.SQL("").join((column, *map(self._step, field.path))))

    def _step(self, step: Step) -> Part:
        arrow = sql.SQL("->>") if step.text else sql.SQL("->")
        kind = sql.SQL("::text") if isinstance(step.key, str) else sql.SQL("::int")
        return sql.Composed((arrow, self.binds.add(str(step.key)), kind))

    def condition(self, condition: Condition) -> Part:
        """A filter.

        Raises:
            RestError: it names what is not there, or asks what cannot be asked of an embedded resource.
        """
        if isinstance(condition, Group):
            return self._group(condition)
        plain = condition.field.name in self.embedded and not condition.field.path
        if plain and condition.field.name not in self.relation.types:
            return self._presence(condition)
        return _negated(self._comparison(condition), condition.negated)

    def _group(self, group: Group) -> Part:
        members = _JOINS[group.kind].join(map(self.condition, group.members))
        return _negated(sql.SQL("({})").format(members), group.negated)

    def _presence(self, condition: Comparison) -> Part:
        """Whether an embedded resource is there."""
        name = condition.field.name
        if condition.operator != "is" or condition.value not in ("null", "not_null"):
            raise RestError(
                400,
                "PGRST120",
                f"Bad operator on the '{name}' embedded resource",
                "Only is null or not is null filters are allowed on embedded resources",
            )
        state = _word(STATES[condition.value])
        return _negated(sql.SQL("({} is {})").format(self.embedded[name], state), condition.negated)

    def _comparison(self, condition: Comparison) -> Part:
        left = self.field(condition.field)
        if isinstance(condition.value, tuple):
            return sql.SQL("({} = any({}))").format(left, self.binds.add(array_literal(condition.value)))
        if condition.operator == "is":
            return sql.SQL("({} is {})").format(left, _word(STATES[condition.value]))
        if condition.operator in SEARCHES:
            return self._search(left, condition, condition.value)
        return self._operation(left, condition, condition.value)

    def _operation(self, left: Part, condition: Comparison, value: str) -> Part:
        if condition.operator in _PATTERNS:
            value = value.replace("*", "%")
        right = self.binds.add(value)
        if condition.operator in QUANTIFIED and condition.modifier:
            right = sql.SQL("{}({})").format(_word(condition.modifier), right)
        return sql.SQL("({} {} {})").format(left, _word(SYMBOLS[condition.operator]), right)

    def _search(self, left: Part, condition: Comparison, value: str) -> Part:
        language: Part = sql.SQL("")
        if condition.modifier is not None:
            language = sql.SQL("{}::regconfig, ").format(self.binds.add(condition.modifier))
        if condition.field.path or self.relation.types.get(condition.field.name) != _VECTOR:
            left = sql.SQL("to_tsvector({}{})").format(language, left)
        query = _word(SEARCHES[condition.operator])
        return sql.SQL("({} @@ {}({}{}))").format(left, query, language, self.binds.add(value))


def _negated(part: Part, negated: bool) -> Part:  # noqa: FBT001  # the sign of a condition
    return sql.SQL("(not {})").format(part) if negated else part
