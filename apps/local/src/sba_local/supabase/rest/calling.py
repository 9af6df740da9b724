"""Functions under /rpc: which one is meant, and how it is called (PostgREST: references/api/functions)."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping, Sequence
from typing import Final

from psycopg import sql

from sba_local.supabase.rest.binding import Binds, Part, array_literal, listed, quoted
from sba_local.supabase.rest.catalog import Attribute, Catalog, Function, Name, Parameter, Relation
from sba_local.supabase.rest.errors import RestError, SchemaMiss
from sba_local.supabase.rest.payload import JSON, Payload

CALLED: Final = sql.Identifier("_sba_called")
VALUE: Final = "pgrst_scalar"
_WHOLE: Final = {
    JSON: ("json", "jsonb"),
    "text/plain": ("text",),
    "text/xml": ("xml",),
    "application/octet-stream": ("bytea",),
}
_DESCRIBED: Final = {
    JSON: " or with a single unnamed json/jsonb parameter",
    "text/plain": " with a single unnamed text parameter",
    "text/xml": " with a single unnamed xml parameter",
    "application/octet-stream": " with a single unnamed bytea parameter",
}


def choose(catalog: Catalog, name: Name, keys: Sequence[str], media: str | None) -> Function:
    """The overload that takes the arguments.

    Args:
        catalog: where the functions are.
        name: what was called.
        keys: names of the arguments.
        media: type of the body that may be the one unnamed argument; None with GET.

    Raises:
        RestError: PGRST202 where there is none, PGRST203 where there are several.
    """
    overloads = catalog.overloads(name.schema, name.name)
    named = media in (None, JSON)
    found = [one for one in overloads if named and _takes(one, set(keys))]
    if not found:
        found = [one for one in overloads if media is not None and _takes_whole(one, media)]
    if not found:
        raise _none(catalog, name, keys, media)
    if len(found) > 1:
        raise _several(found)
    return found[0]


def _takes(function: Function, keys: set[str]) -> bool:
    names = {parameter.name for parameter in function.parameters}
    required = {parameter.name for parameter in function.parameters if parameter.required}
    return required - {""} <= keys <= names - {""} and "" not in required


def _takes_whole(function: Function, media: str) -> bool:
    only = function.unnamed
    return only is not None and only.type.name in _WHOLE.get(media, ())


def relation_of(catalog: Catalog, function: Function) -> Relation:
    """What the rows of its result are."""
    known = catalog.relations.get(function.returns)
    if known is not None:
        return known
    columns = function.outputs or (Attribute(VALUE, function.returns),)
    return Relation(function.name, columns)


def call(function: Function, arguments: Payload | Sequence[tuple[str, str]], binds: Binds) -> Part:
    """A SELECT of the function's result; a scalar's column is called `pgrst_scalar`.

    Args:
        function: what to call.
        arguments: the body, or the parameters of the query string.
        binds: where values go.
    """
    if isinstance(arguments, Payload):
        given, source = _of_body(function, arguments, binds)
    else:
        given, source = _of_query(function, arguments, binds), None
    called = sql.SQL("{}({})").format(function.name.quoted, listed(given))
    if function.tabular:
        lateral = sql.SQL("select f.* from {}{} as f")
        return lateral.format(sql.SQL("{}, ").format(source) if source else sql.SQL(""), called)
    origin = sql.SQL(" from {}").format(source) if source else sql.SQL("")
    return sql.SQL("select {} as {}{}").format(called, quoted(VALUE), origin)


def _of_body(function: Function, payload: Payload, binds: Binds) -> tuple[list[Part], Part | None]:
    """The arguments, and the row of the body that they are columns of."""
    only = function.unnamed
    if only is not None:
        return [sql.SQL("{}::{}").format(binds.add(payload.text), only.type.quoted)], None
    named = [parameter for parameter in function.parameters if parameter.name in payload.keys]
    if not named:
        return [], None
    shape = listed(sql.SQL("{} {}").format(quoted(one.name), one.type.quoted) for one in named)
    first = sql.SQL("json_to_record({}::json) as b({})").format(binds.add(_object(payload)), shape)
    return [_argument(parameter, quoted("b", parameter.name)) for parameter in named], first


def _object(payload: Payload) -> str:
    """The body as one object: a form or CSV was read as rows."""
    return payload.text if isinstance(payload.value, dict) else json.dumps(payload.rows[0])


def _of_query(function: Function, pairs: Sequence[tuple[str, str]], binds: Binds) -> list[Part]:
    given = dict(pairs)
    return [
        _argument(
            parameter,
            sql.SQL("{}::{}").format(binds.add(_text(parameter, given, pairs)), parameter.type.quoted),
        )
        for parameter in function.parameters
        if parameter.name in given
    ]


def _text(parameter: Parameter, given: Mapping[str, str], pairs: Sequence[tuple[str, str]]) -> str:
    if not parameter.variadic:
        return given[parameter.name]
    return array_literal(value for name, value in pairs if name == parameter.name)


def _argument(parameter: Parameter, value: Part) -> Part:
    form = sql.SQL("variadic {} => {}") if parameter.variadic else sql.SQL("{} => {}")
    return form.format(quoted(parameter.name), value)


def _none(catalog: Catalog, name: Name, keys: Sequence[str], media: str | None) -> SchemaMiss:
    raw = media is not None and media != JSON
    listing = ", ".join(keys)
    short = "" if raw else (f"({listing})" if keys else " without parameters")
    plural = "parameters" if len(keys) > 1 else "parameter"
    long = "" if raw else (f" with {plural} {listing}" if keys else " without parameters")
    function = f"{name.schema}.{name.name}"
    return SchemaMiss(
        404,
        "PGRST202",
        f"Could not find the function {function}{short} in the schema cache",
        f"Searched for the function {function}{long}{_DESCRIBED.get(media or '', '')}, "
        "but no matches were found in the schema cache.",
        _near(catalog, name),
    )


def _near(catalog: Catalog, name: Name) -> str | None:
    known = {one.name.name: one for one in catalog.functions if one.name.schema == name.schema}
    near = difflib.get_close_matches(name.name, known, n=1)
    if not near:
        return None
    names = ", ".join(parameter.name for parameter in known[near[0]].parameters)
    return f"Perhaps you meant to call the function {name.schema}.{near[0]}({names})"


def _several(found: Sequence[Function]) -> RestError:
    described = ", ".join(_signature(one) for one in found)
    return RestError(
        300,
        "PGRST203",
        f"Could not choose the best candidate function between: {described}",
        None,
        "Try renaming the parameters or the function itself in the database so function overloading can be "
        "resolved",
    )


def _signature(function: Function) -> str:
    parameters = ", ".join(f"{one.name} => {one.type.name}" for one in function.parameters)
    return f"{function.name.schema}.{function.name.name}({parameters})"
