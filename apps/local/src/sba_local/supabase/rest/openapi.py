"""The root: a minimal OpenAPI description of what the role may reach."""

from __future__ import annotations

import json
from typing import Any, Final

from psycopg import sql

from sba_local.supabase.rest.binding import Binds
from sba_local.supabase.rest.catalog import Catalog, Name, Relation
from sba_local.supabase.rest.errors import bad_method
from sba_local.supabase.rest.exchange import Answer, Outcome, Plan, Request
from sba_local.supabase.rest.media import Media

_NUMBERS: Final = {"int2": "integer", "int4": "integer", "int8": "integer", "bool": "boolean"}
_REACHABLE: Final = """
select count(*), coalesce(json_agg(n.name), '[]')::text
from json_array_elements_text({}::json) n (name)
where has_table_privilege(format('%%I.%%I', {}::text, n.name), 'select, insert, update, delete')
"""
_TITLE: Final = "SBA's stand-in for a Supabase project's REST API: for development only"


def plan_root(request: Request, catalog: Catalog, schema: str) -> Plan:
    """The description of a schema.

    Raises:
        RestError: PGRST117, it can only be read.
    """
    if not request.reads:
        raise bad_method(request.method)
    names = [name.name for name in catalog.relations if name.schema == schema]
    binds = Binds()
    statement = sql.SQL(_REACHABLE).format(binds.add(json.dumps(names)), binds.add(schema))

    def respond(outcome: Outcome) -> Answer:
        reached = [catalog.relations[Name(schema, name)] for name in json.loads(outcome.body or "[]")]
        media = Media("openapi", "application/openapi+json")
        return Answer(200, (("Content-Type", media.content_type),), json.dumps(_document(reached)).encode())

    return Plan(statement, binds, respond, read_only=True)


def _document(relations: list[Relation]) -> dict[str, Any]:
    return {
        "swagger": "2.0",
        "info": {"title": _TITLE, "version": "development"},
        "paths": {f"/{relation.name.name}": _path(relation) for relation in relations},
        "definitions": {relation.name.name: _definition(relation) for relation in relations},
    }


def _path(relation: Relation) -> dict[str, Any]:
    answers = {"200": {"description": "OK"}}
    return {
        verb: {"tags": [relation.name.name], "responses": answers}
        for verb in ("get", "post", "patch", "delete")
    }


def _definition(relation: Relation) -> dict[str, Any]:
    properties = {
        name: {"type": _NUMBERS.get(kind.name, "string"), "format": kind.name}
        for name, kind in relation.types.items()
    }
    return {"type": "object", "properties": properties}
