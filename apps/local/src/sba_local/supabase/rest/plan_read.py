"""GET and HEAD of a table or view."""

from __future__ import annotations

from sba_local.supabase.rest.binding import Binds
from sba_local.supabase.rest.catalog import Catalog
from sba_local.supabase.rest.counting import total_of, totals
from sba_local.supabase.rest.envelope import NO_BODY, body_of, enclose
from sba_local.supabase.rest.errors import not_single
from sba_local.supabase.rest.exchange import Answer, Outcome, Plan, Request, RestSettings
from sba_local.supabase.rest.querystring import parse_query
from sba_local.supabase.rest.ranges import content_range, narrow, range_status
from sba_local.supabase.rest.reading import Reader


def plan_read(request: Request, catalog: Catalog, settings: RestSettings, schema: str) -> Plan:
    """Rows of a table or view.

    Raises:
        RestError: something in it cannot be answered.
    """
    relation = catalog.relation(schema, request.segments[0])
    query = parse_query(request.query)
    narrow(query.outer, request.headers.get("range", ""))
    reader = Reader(catalog, query, Binds(), settings.schemas)
    reader.check()
    source, mode = relation.name.quoted, request.preferences.count
    statement = enclose(
        reader.rows(relation, source, limit=settings.max_rows),
        NO_BODY if request.method == "HEAD" else body_of(request.media),
        extra=totals(reader, relation, source, mode, settings.max_rows),
    )
    estimate = reader.total(relation, source) if mode in ("planned", "estimated") else None

    def respond(outcome: Outcome) -> Answer:
        total = total_of(outcome, mode, settings.max_rows)
        return answer_rows(request, outcome, query.outer.offset, total)

    return Plan(statement, reader.binds, respond, read_only=True, estimate=estimate)


def answer_rows(request: Request, outcome: Outcome, offset: int, total: int | None) -> Answer:
    """Rows, with their range.

    Raises:
        RestError: PGRST103 or PGRST116, the range or the number of rows is not what was asked for.
    """
    status = range_status(offset, outcome.shown, total)
    if request.media.shape == "object" and outcome.shown != 1:
        raise not_single(outcome.shown)
    headers = [
        ("Content-Type", request.media.content_type),
        ("Content-Range", content_range(offset, outcome.shown, total)),
    ]
    applied = request.preferences.applied("return", "resolution", "missing", "timezone")
    if applied:
        headers.append(("Preference-Applied", applied))
    return Answer(status, tuple(headers), (outcome.body or "").encode())
