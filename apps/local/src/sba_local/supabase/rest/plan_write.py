"""POST, PATCH and DELETE of a table or view."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from psycopg import sql

from sba_local.supabase.rest.binding import Binds, Part, listed, quoted
from sba_local.supabase.rest.catalog import Catalog, Relation
from sba_local.supabase.rest.envelope import NO_BODY, body_of, enclose
from sba_local.supabase.rest.errors import RestError, not_single
from sba_local.supabase.rest.exchange import Answer, Outcome, Plan, Request, RestSettings
from sba_local.supabase.rest.media import PLAIN, Media
from sba_local.supabase.rest.payload import parse_payload
from sba_local.supabase.rest.putting import first_of, key_of, merging, mismatched
from sba_local.supabase.rest.querystring import parse_query
from sba_local.supabase.rest.ranges import content_range
from sba_local.supabase.rest.reading import Reader
from sba_local.supabase.rest.relationships import find
from sba_local.supabase.rest.selection import Column, Star, embeds
from sba_local.supabase.rest.writing import FRESH, WRITTEN, Writer

_KEY: Final = Media("object", PLAIN.name)


def plan_write(request: Request, catalog: Catalog, settings: RestSettings, schema: str) -> Plan:
    """A change of rows.

    Raises:
        RestError: something in it cannot be done.
    """
    relation = catalog.relation(schema, request.segments[0])
    query = parse_query(request.query)
    reader = Reader(catalog, query, Binds(), settings.schemas)
    reader.check()
    key = key_of(relation, query) if request.method == "PUT" else None
    preferences = merging(request.preferences) if key else request.preferences
    change = _Change(request, relation, reader, Writer(relation, query, preferences, reader.binds), key)
    return Plan(change.statement(), reader.binds, change.respond, read_only=False)


@dataclass(frozen=True, slots=True)
class _Change:
    """One write, and the answer to it."""

    request: Request
    relation: Relation
    reader: Reader
    writer: Writer
    key: Mapping[str, str] | None = None

    @property
    def _merges(self) -> bool:
        """Whether new rows have to be told from old ones."""
        return self.request.method in ("POST", "PUT") and self.writer.merges

    @property
    def _full(self) -> bool:
        return self.request.preferences.returning == "representation"

    def statement(self) -> sql.Composed | None:
        """The statement, or None where there is nothing to write."""
        names = list(dict.fromkeys(self._returned()))
        write = self._write([self.writer.column(name) for name in names])
        if write is None:
            return None
        extra = [sql.SQL("(select count(*) from {})").format(WRITTEN)]
        if self._merges:
            extra.append(sql.SQL("(select count(*) from {} where {})").format(WRITTEN, FRESH))
        rows, body = self._shown(names)
        return enclose(rows, body, extra=extra, given=[(WRITTEN, write)])

    def _write(self, returning: Sequence[Part]) -> Part | None:
        if self.request.method == "DELETE":
            return self.writer.delete(returning)
        payload = parse_payload(self.request.body, self.request.content_type)
        if self.request.method == "PATCH":
            return self.writer.update(payload, returning)
        if self.key is not None:
            payload = first_of(payload)
            if not set(self.key).issubset(payload.keys):
                raise mismatched()
        return self.writer.insert(payload, returning, self.key) if payload.rows else None

    def _returned(self) -> Iterator[str]:
        """The columns that the answer needs."""
        if self.request.preferences.returning == "headers-only":
            yield from self.relation.primary_key
        if not self._full:
            return
        query = self.reader.query
        if any(isinstance(item, Star) for item in query.items):
            yield from self.relation.types
        yield from (item.field.name for item in query.items if isinstance(item, Column))
        yield from (term.field.name for term in query.outer.order if term.related is None)
        for embed in embeds(query.items):
            relationship = find(self.reader.catalog, self.relation, embed.name, embed.hint)
            yield from (ours for ours, _ in relationship.pairs)

    def _shown(self, names: Sequence[str]) -> tuple[Part, Part]:
        columns = listed(map(quoted, names))
        if self._full:
            source = sql.SQL("(select {} from {})").format(columns, WRITTEN)
            rows = self.reader.rows(self.relation, source, filtered=False, limit=None)
            return rows, body_of(self.request.media)
        if names:
            return sql.SQL("select {} from {}").format(columns, WRITTEN), body_of(_KEY)
        return sql.SQL("select 1 from {}").format(WRITTEN), NO_BODY

    def respond(self, outcome: Outcome) -> Answer:
        """The answer.

        Raises:
            RestError: PGRST115, PGRST116 or PGRST124, the number of rows is not what was asked for.
        """
        affected = (outcome.extra[0] if outcome.extra else 0) or 0
        self._check(affected)
        headers = [*self._range(affected), *self._location(outcome)]
        applied = self.request.preferences.applied(*self._ignored())
        if applied:
            headers.append(("Preference-Applied", applied))
        if not self._full:
            return Answer(self._status(outcome), tuple(headers))
        headers.append(("Content-Type", self.request.media.content_type))
        body = outcome.body if outcome.body is not None else "[]"
        return Answer(self._status(outcome), tuple(headers), body.encode())

    def _check(self, affected: int) -> None:
        if self.key is not None and not affected:
            raise mismatched()
        if self.request.media.shape == "object" and affected != 1:
            raise not_single(affected)
        most = self.request.preferences.most
        if most is not None and affected > most and self.request.method != "POST":
            raise exceeded(affected)

    def _status(self, outcome: Outcome) -> int:
        fresh = not self._merges or bool(outcome.extra and outcome.extra[1])
        if self.request.method == "POST" or (self.key is not None and fresh):
            return 201 if fresh else 200
        return 200 if self._full else 204

    def _range(self, affected: int) -> Iterator[tuple[str, str]]:
        if self.key is None:
            total = affected if self.request.preferences.count == "exact" else None
            shown = affected if self.request.method == "PATCH" else 0
            yield "Content-Range", content_range(0, shown, total)

    def _ignored(self) -> tuple[str, ...]:
        if self.request.method == "POST":
            resolves = self.writer.query.on_conflict or self.relation.primary_key
            return ("timezone", "max-affected") if resolves else ("timezone", "max-affected", "resolution")
        if self.key is not None:
            return ("timezone", "max-affected", "resolution", "missing")
        unmeant = () if self.request.method == "PATCH" else ("missing",)
        strict = () if self.request.preferences.strict else ("max-affected",)
        return ("timezone", "resolution", *unmeant, *strict)

    def _location(self, outcome: Outcome) -> Iterator[tuple[str, str]]:
        wanted = self.request.preferences.returning == "headers-only" and self.request.method == "POST"
        if not (wanted and outcome.shown == 1 and outcome.body):
            return
        key = json.loads(outcome.body)
        filters = "&".join(f"{quote(name)}=eq.{quote(str(value))}" for name, value in key.items())
        yield "Location", f"/{quote(self.relation.name.name)}?{filters}"


def exceeded(affected: int) -> RestError:
    """PGRST124."""
    message = "Query result exceeds max-affected preference constraint"
    return RestError(400, "PGRST124", message, f"The query affects {affected} rows")
