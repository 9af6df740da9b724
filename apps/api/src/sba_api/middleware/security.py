"""The headers every answer carries."""

from __future__ import annotations

from starlette.types import Scope

RawHeaders = list[tuple[bytes, bytes]]

_ALWAYS: RawHeaders = [
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
]
_API: RawHeaders = [
    *_ALWAYS,
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cache-control", b"no-store"),
]
_HSTS = (b"strict-transport-security", b"max-age=63072000; includeSubDomains")
_DOCS_PATH = "/docs"


def security_headers(scope: Scope, docs_policy: bytes) -> RawHeaders:
    """Headers to add to the answer of this request; the docs page has its own content policy."""
    docs = scope["path"] == _DOCS_PATH
    chosen = [*_ALWAYS, (b"content-security-policy", docs_policy)] if docs else _API
    return [*chosen, _HSTS] if scope.get("scheme") == "https" else chosen
