"""The documentation page: made here from the OpenAPI document, without scripts or foreign hosts."""

from __future__ import annotations

import base64
import hashlib
import json
from html import escape
from typing import Any

from sba_api.schemas import ProblemDocument

_STYLE = """
body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1b1f24}
section{border-top:1px solid #d0d7de;padding:.6rem 0}h2{font-size:1rem;margin:.3rem 0}
code,pre{font:14px/1.45 ui-monospace,monospace}pre{background:#f6f8fa;padding:.8rem;overflow:auto}
.method{display:inline-block;min-width:4.5rem;font-weight:700}
"""
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()

POLICY = f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; frame-ancestors 'none'".encode()
"""The page's Content-Security-Policy: its own style sheet and nothing else."""

_BEARER = {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
_TENANT = {
    "name": "X-Tenant-Id",
    "in": "header",
    "required": False,
    "description": "One of the caller's tenants, where it is not the token's.",
    "schema": {"type": "string", "format": "uuid"},
}
_PROBLEM = {
    "description": "A problem (RFC 9457).",
    "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/ProblemDocument"}}},
}


def complete(document: dict[str, Any]) -> dict[str, Any]:
    """Add what every `/v1` operation shares: the token, the tenant header, the problem answer."""
    components = document.setdefault("components", {})
    components["securitySchemes"] = {"bearer": _BEARER}
    schemas = components.setdefault("schemas", {})
    schemas["ProblemDocument"] = ProblemDocument.model_json_schema(
        ref_template="#/components/schemas/{model}"
    )
    schemas.update(schemas["ProblemDocument"].pop("$defs"))
    for path, operations in document["paths"].items():
        for operation in operations.values():
            operation["responses"].pop("422", None)
            operation["responses"]["default"] = _PROBLEM
            if path.startswith("/v1/"):
                operation["security"] = [{"bearer": []}]
                operation.setdefault("parameters", []).append(_TENANT)
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    return document


def page(document: dict[str, Any]) -> str:
    """The document as one HTML page."""
    operations = [
        _operation(method, path, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    schemas = escape(json.dumps(document["components"]["schemas"], indent=2))
    return (
        "<!doctype html><html lang=en><meta charset=utf-8><title>SBA API</title>"
        f"<style>{_STYLE}</style>"
        f"<h1>{escape(document['info']['title'])} API {escape(document['info']['version'])}</h1>"
        f"<p>{escape(document['info']['summary'])}</p>"
        "<p>Send <code>Authorization: Bearer &lt;token&gt;</code>; errors are problem+json. "
        "For machines: <a href=/openapi.json>/openapi.json</a>.</p>"
        f"{''.join(operations)}<section><h2>Schemas</h2><pre>{schemas}</pre></section></html>"
    )


def _operation(method: str, path: str, operation: dict[str, Any]) -> str:
    parameters = "".join(
        f"<li><code>{escape(item['name'])}</code> in {escape(item['in'])}"
        for item in operation.get("parameters", [])
    )
    name = f"<span class=method>{method.upper()}</span>{escape(path)}"
    about = escape(operation.get("description", ""))
    return (
        f"<section><h2><code>{name}</code></h2><p>{about}</p>"
        f"<ul>{parameters}</ul>{_body(operation)}</section>"
    )


def _body(operation: dict[str, Any]) -> str:
    content = operation.get("requestBody", {}).get("content", {})
    names = [escape(media["schema"].get("$ref", "").rpartition("/")[2]) for media in content.values()]
    return "".join(f"<p>Body: <code>{name}</code></p>" for name in names)
