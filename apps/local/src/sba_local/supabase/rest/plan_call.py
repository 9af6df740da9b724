"""Functions under /rpc."""

from __future__ import annotations

from collections.abc import Sequence

from psycopg import sql

from sba_local.supabase.rest.binding import Binds, Part, quoted
from sba_local.supabase.rest.calling import CALLED, VALUE, call, choose, relation_of
from sba_local.supabase.rest.catalog import Catalog, Function, Name
from sba_local.supabase.rest.counting import total_of, totals
from sba_local.supabase.rest.envelope import NO_BODY, body_of, enclose
from sba_local.supabase.rest.errors import RestError
from sba_local.supabase.rest.exchange import Answer, Outcome, Plan, Request, RestSettings
from sba_local.supabase.rest.media import Media
from sba_local.supabase.rest.payload import Payload, parse_arguments
from sba_local.supabase.rest.plan_read import answer_rows
from sba_local.supabase.rest.plan_write import exceeded
from sba_local.supabase.rest.querystring import Query, parse_query
from sba_local.supabase.rest.ranges import narrow
from sba_local.supabase.rest.reading import Reader


def plan_call(request: Request, catalog: Catalog, settings: RestSettings, schema: str) -> Plan:
    """A call of a function.

    Raises:
        RestError: there is no such function, or it cannot be called so.
    """
    if not request.reads and request.method != "POST":
        raise RestError(405, "PGRST101", f"Cannot use the {request.method} method on RPC")
    query = parse_query(request.query, call=request.reads)
    function, arguments = _chosen(request, catalog, Name(schema, request.segments[1]), query)
    if request.preferences.most is not None and not function.many:
        raise _unlimitable()
    if request.reads:
        narrow(query.outer, request.headers.get("range", ""))
    binds = Binds()
    called = call(function, arguments, binds)
    read_only = request.reads or not function.volatile
    reader = Reader(catalog, query, binds, settings.schemas)
    reader.check()
    if function.tabular:
        return _tabular(request, function, reader, called, settings, read_only=read_only)
    return _scalar(request, function, reader, called, settings, read_only=read_only)


def _chosen(
    request: Request, catalog: Catalog, name: Name, query: Query
) -> tuple[Function, Payload | Sequence[tuple[str, str]]]:
    if request.reads:
        keys = tuple(dict.fromkeys(key for key, _ in query.arguments))
        return choose(catalog, name, keys, None), query.arguments
    payload = parse_arguments(request.body, request.content_type)
    return choose(catalog, name, payload.keys, payload.media), payload


def _tabular(
    request: Request,
    function: Function,
    reader: Reader,
    called: Part,
    settings: RestSettings,
    *,
    read_only: bool,
) -> Plan:
    relation, mode = relation_of(reader.catalog, function), request.preferences.count
    media = request.media if function.many else Media("object", request.media.name, request.media.stripped)
    statement = enclose(
        reader.rows(relation, CALLED, limit=settings.max_rows),
        NO_BODY if request.method == "HEAD" else body_of(media),
        extra=totals(reader, relation, CALLED, "exact" if mode else None, settings.max_rows),
        given=[(CALLED, called)],
    )

    def respond(outcome: Outcome) -> Answer:
        most = request.preferences.most
        if most is not None and outcome.shown > most:
            raise exceeded(outcome.shown)
        total = total_of(outcome, "exact" if mode else None, settings.max_rows)
        return answer_rows(request, outcome, reader.query.outer.offset, total)

    return Plan(statement, reader.binds, respond, read_only=read_only)


def _scalar(
    request: Request,
    function: Function,
    reader: Reader,
    called: Part,
    settings: RestSettings,
    *,
    read_only: bool,
) -> Plan:
    value, offset = quoted("a", VALUE), reader.query.outer.offset if function.many else 0
    body: Part
    if function.void:
        body = sql.SQL("count({})::text").format(value)  # what nothing asks for, Postgres does not call
    elif request.media.shape == "csv":
        body = body_of(request.media)
    elif function.many:
        body = sql.SQL("coalesce(json_agg({}), '[]')::text").format(value)
    else:
        body = sql.SQL("coalesce(json_agg({}) -> 0, 'null')::text").format(value)
    statement = enclose(_page(called, reader, settings) if function.many else called, body)

    def respond(outcome: Outcome) -> Answer:
        if function.void:
            return Answer(204)
        return answer_rows(request, outcome, offset, None)

    return Plan(statement, reader.binds, respond, read_only=read_only)


def _page(called: Part, reader: Reader, settings: RestSettings) -> Part:
    """A part of what a function returns."""
    scope = reader.query.outer
    limit = settings.max_rows if scope.limit is None else min(scope.limit, settings.max_rows)
    return sql.SQL("select * from ({}) as s{}").format(called, reader.window(scope.offset, limit))


def _unlimitable() -> RestError:
    return RestError(
        400,
        "PGRST128",
        "Function must return SETOF or TABLE when max-affected preference is used with handling=strict",
    )
