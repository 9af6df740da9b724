"""How to reach Postgres and how long to wait for it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Final, LiteralString

from sba_db.errors import InvalidValue

TIMES: Final = ("pool_timeout", "connect_timeout", "statement_timeout", "grace", "idle_timeout")


@dataclass(frozen=True, slots=True)
class DatabaseSettings:
    """Everything a `Database` needs to know; times are in seconds.

    Attributes:
        url: DSN of the application's login (`sba_app`). Never shown.
        min_size: Connections kept open.
        max_size: Most connections open.
        pool_timeout: Longest wait for a connection before `PoolExhausted`.
        connect_timeout: Longest wait for a new connection to be made.
        statement_timeout: Longest a statement may run on the server.
        grace: How much longer than that a silent server is waited for before its connection is dropped.
        idle_timeout: Longest a transaction may sit between statements.
        pooler: True behind a transaction pooler (PgBouncer, Supavisor): no pipelines, no prepared statements.
        attempts: How often `Database.run` runs a transaction at most, the first time included.
        slow_query: A statement that takes longer is logged; None for none.
        explain_slow: Whether the plan of a slow statement is logged too, at most once a minute and method.
        enter_member: Statement that checks `%(member)s` against `%(tenant)s` and sets the tenant, in one.
        application_name: How the connections show in pg_stat_activity.

    Raises:
        InvalidValue: A time that is not positive and finite, or a number of connections or attempts that
            leaves nothing to work with.
    """

    url: str = field(repr=False)
    min_size: int = 1
    max_size: int = 10
    pool_timeout: float = 2.0
    connect_timeout: float = 2.0
    statement_timeout: float = 5.0
    grace: float = 1.0
    idle_timeout: float = 15.0
    pooler: bool = False
    attempts: int = 5
    slow_query: float | None = 0.5
    explain_slow: bool = False
    enter_member: LiteralString | None = None
    application_name: str = "sba"

    def __post_init__(self) -> None:
        for name in TIMES:
            if not 0 < getattr(self, name) < math.inf:
                raise InvalidValue("must be more than 0 seconds, and finite", field=name)
        if self.slow_query is not None and not self.slow_query >= 0:
            raise InvalidValue("must be at least 0 seconds", field="slow_query")
        if not 0 <= self.min_size <= self.max_size or self.max_size < 1:
            raise InvalidValue("must be at least 1, and at least min_size", field="max_size")
        if self.attempts < 1:
            raise InvalidValue("must be at least 1", field="attempts")


def milliseconds(seconds: float) -> int:
    """As Postgres takes a time limit: whole, and never 0, which would be none."""
    return max(1, round(seconds * 1000))
