"""What comes in, what is to be done with it, and what goes out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final, Literal

from psycopg import sql

from sba_local.supabase.rest.binding import Binds, Part
from sba_local.supabase.rest.media import Media, negotiate
from sba_local.supabase.rest.preferences import Preferences, parse_preferences

Role = Literal["anon", "authenticated", "service_role"]
ROLES: Final = ("anon", "authenticated", "service_role")


@dataclass(frozen=True)
class Request:
    """One HTTP request of an identity that was verified before.

    Attributes:
        method: GET, POST and so on.
        path: as it was sent, its prefix included.
        segments: the path below the prefix.
        query: the raw query string.
        headers: names in small letters; what was sent twice is joined by commas.
        body: as it was sent.
        role: the database role to act as.
        claims: of the token.
    """

    method: str
    path: str
    segments: tuple[str, ...]
    query: bytes
    headers: Mapping[str, str]
    body: bytes = field(repr=False)
    role: Role
    claims: Mapping[str, Any] = field(repr=False)

    @cached_property
    def preferences(self) -> Preferences:
        """The Prefer header."""
        return parse_preferences([self.headers.get("prefer", "")])

    @cached_property
    def media(self) -> Media:
        """What to answer with."""
        return negotiate(self.headers.get("accept", "*/*"))

    @property
    def reads(self) -> bool:
        """Whether the method may not change anything."""
        return self.method in ("GET", "HEAD")

    @property
    def content_type(self) -> str:
        """What the body is."""
        return self.headers.get("content-type", "")


@dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP response."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the database said.

    Attributes:
        shown: rows in the body.
        body: the answer's text.
        extra: the further columns that the plan asked for.
        planned: how many rows the planner expects, where the plan asked.
    """

    shown: int = 0
    body: str | None = None
    extra: Sequence[int | None] = ()
    planned: int | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do.

    Attributes:
        statement: to run; None where there is nothing to do.
        binds: its values.
        respond: makes the answer; what it raises undoes everything.
        read_only: whether the transaction may not write.
        estimate: a SELECT whose rows the planner is to guess.
    """

    statement: sql.Composed | None
    binds: Binds
    respond: Callable[[Outcome], Answer]
    read_only: bool
    estimate: Part | None = None


@dataclass(frozen=True, slots=True)
class RestSettings:
    """How the stand-in is set up; the defaults are those of a Supabase project.

    Attributes:
        schemas: those that are exposed; the first is the default one.
        extra_search_path: searched besides the exposed schema.
        max_rows: most rows in an answer, and up to where an estimated count is exact.
        statement_timeout: longest statement, in milliseconds.
        connections: most database connections.
        connection_timeout: longest wait for one, in seconds.
        max_body: longest request body, in bytes.
        prefix: of the paths that it answers.
    """

    schemas: tuple[str, ...] = ("public",)
    extra_search_path: tuple[str, ...] = ("extensions",)
    max_rows: int = 1000
    statement_timeout: int = 8000
    connections: int = 10
    connection_timeout: float = 10.0
    max_body: int = 16 * 1024 * 1024
    prefix: str = "/rest/v1"
