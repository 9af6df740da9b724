"""What a function is told and what it answers."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Call:
    """A call of a function.

    Attributes:
        method: of HTTP.
        path: what follows the function's name, without a slash before it.
        query: the parameters of the URL.
        headers: by lower-case name.
        body: as it was sent.
        role: `anon`, `authenticated` or `service_role`.
        claims: of the caller's verified token.
    """

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    role: str
    claims: Mapping[str, Any] = field(repr=False)

    def json(self) -> Any:  # noqa: ANN401  # JSON can be anything
        """The body as JSON, None where there is none.

        Raises:
            ValueError: it is something else.
        """
        return json.loads(self.body) if self.body else None


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer that is more than a document.

    Attributes:
        body: what to send.
        status: of HTTP.
        headers: the content type above all.
    """

    body: bytes = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


Handler = Callable[[Call], Awaitable[Any]]
"""Answers with a JSON document, text, bytes, or an `Answer`."""
