"""Connection strings, read before anything is tried with them."""

from __future__ import annotations

import psycopg
from psycopg.conninfo import conninfo_to_dict

from sba_db.errors import InvalidValue


def parameters_of(url: str) -> dict[str, str | int | None]:
    """What a connection string says, by libpq's names.

    Raises:
        InvalidValue: It is none; it is not shown.
    """
    try:
        return dict(conninfo_to_dict(url))
    except psycopg.Error:
        raise InvalidValue("not a Postgres connection string", field="url") from None
