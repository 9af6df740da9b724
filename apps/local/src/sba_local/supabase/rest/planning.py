"""From a request to a plan, by what it is about: a table, a function or the root."""

from __future__ import annotations

from typing import Final

from sba_local.supabase.rest.catalog import Catalog
from sba_local.supabase.rest.errors import RestError, bad_method
from sba_local.supabase.rest.exchange import Plan, Request, RestSettings
from sba_local.supabase.rest.openapi import plan_root
from sba_local.supabase.rest.plan_call import plan_call
from sba_local.supabase.rest.plan_read import plan_read
from sba_local.supabase.rest.plan_write import plan_write

_CALL: Final = 2


def plan(request: Request, catalog: Catalog, settings: RestSettings) -> Plan:
    """What to do for a request.

    Raises:
        RestError: it cannot be done.
    """
    schema = _schema(request, settings)
    segments = request.segments
    if not segments:
        return plan_root(request, catalog, schema)
    if len(segments) == _CALL and segments[0] == "rpc":
        return plan_call(request, catalog, settings, schema)
    if len(segments) > 1:
        raise RestError(404, "PGRST125", "Invalid path specified in request URL")
    if request.reads:
        return plan_read(request, catalog, settings, schema)
    if request.method in ("POST", "PUT", "PATCH", "DELETE"):
        return plan_write(request, catalog, settings, schema)
    raise bad_method(request.method)


def _schema(request: Request, settings: RestSettings) -> str:
    header = "accept-profile" if request.reads else "content-profile"
    schema = request.headers.get(header, settings.schemas[0])
    if schema not in settings.schemas:
        exposed = ", ".join(settings.schemas)
        raise RestError(
            406,
            "PGRST106",
            f"Invalid schema: {schema}",
            None,
            f"Only the following schemas are exposed: {exposed}",
        )
    return schema
