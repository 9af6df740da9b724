"""The one place where the driver's errors become ours, without the row values its messages carry."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

import psycopg
from psycopg import errors as pg

from sba_db.errors import (
    AccessDenied,
    ConstraintViolated,
    DatabaseError,
    DatabaseTimeout,
    DatabaseUnavailable,
    InvalidValue,
    MembershipDenied,
    ReadOnlySession,
    StatementFailed,
    TransactionConflict,
)
from sba_db.models.tables import TABLES

MEMBERSHIP_DENIED: Final = "SB403"
SOON: Final = 0.1


UNREACHABLE: Final = "Postgres is not reachable"
_REASONS: Final = tuple(
    (re.compile(words, re.IGNORECASE), reason)
    for words, reason in {
        r"password|authentication|pg_hba|role .* does not exist|not permitted to log in": (
            "Postgres refused the login"
        ),
        r"database .* does not exist|permission denied for database": "Postgres has no such database",
        r"too many (?:clients|connections)|connection slots": "Postgres has no connection to spare",
        r"starting up|shutting down|recovery": "Postgres is starting or stopping",
        r"resolve host|translate host name": "the name of Postgres's host means nothing",
        r"SSL|certificate|TLS": "Postgres and this side do not agree on TLS",
        r"unrecognized configuration parameter|unsupported startup parameter": (
            "Postgres, or a pooler before it, refused an option"
        ),
        r"took too long|timeout": "Postgres did not answer in time",
        r"refused": "nothing listens where Postgres should be",
    }.items()
)
"""What is told when libpq's or the server's words, as they are in English, match; the first does."""


class ServerSilent(psycopg.OperationalError):
    """The server did not answer in time; the connection has been dropped."""


_CONSTRAINT_KINDS = {
    pg.UniqueViolation: "unique",
    pg.ForeignKeyViolation: "foreign_key",
    pg.CheckViolation: "check",
    pg.NotNullViolation: "not_null",
    pg.ExclusionViolation: "exclusion",
}


def _constraint(error: psycopg.Error) -> DatabaseError:
    kind = next((name for kind, name in _CONSTRAINT_KINDS.items() if isinstance(error, kind)), "integrity")
    diag = error.diag
    return ConstraintViolated(
        constraint=diag.constraint_name or diag.column_name or "",
        kind=kind,
        table=_declared(diag.table_name or ""),
    )


def _declared(name: str) -> str:
    """The table that a partition of ours belongs to; any other name is itself."""
    return next((table.name for table in TABLES if name.startswith(f"{table.name}_")), name)


def _operational(error: psycopg.Error) -> DatabaseError:
    return StatementFailed(type(error).__name__, error.sqlstate) if error.sqlstate else _lost(error)


def _lost(error: psycopg.Error) -> DatabaseError:
    return DatabaseUnavailable(why_unreachable(error), retry_after=SOON)


def why_unreachable(error: psycopg.Error) -> str:
    """Why there is no connection, in words of ours: libpq's can hold pieces of a mistyped URL."""
    said = str(error)
    return next((reason for words, reason in _REASONS if words.search(said)), UNREACHABLE)


def _unsupported(error: psycopg.Error) -> DatabaseError:
    """A standby says this of a transaction that writes: the connection is to the wrong server."""
    if "during recovery" in str(error):
        return DatabaseUnavailable("Postgres is a standby, which takes no writes", retry_after=SOON)
    return StatementFailed(type(error).__name__, error.sqlstate)


_Rule = tuple[tuple[type[psycopg.Error], ...], Callable[[psycopg.Error], DatabaseError]]

_NO_CONNECTION = (
    pg.ConnectionException,
    pg.SqlclientUnableToEstablishSqlconnection,
    pg.ConnectionDoesNotExist,
    pg.ConnectionFailure,
    pg.AdminShutdown,
    pg.CrashShutdown,
    pg.CannotConnectNow,
    pg.TooManyConnections,
    pg.InvalidPassword,
    pg.InvalidAuthorizationSpecification,
    pg.InvalidCatalogName,
)

_RULES: tuple[_Rule, ...] = (
    ((ServerSilent,), lambda _: DatabaseTimeout("the server did not answer in time")),
    ((pg.QueryCanceled, pg.LockNotAvailable), lambda _: DatabaseTimeout("the statement's time limit passed")),
    ((pg.IdleInTransactionSessionTimeout,), lambda _: DatabaseTimeout("the transaction was idle too long")),
    ((pg.SerializationFailure, pg.DeadlockDetected), lambda e: TransactionConflict(type(e).__name__)),
    ((pg.FeatureNotSupported,), _unsupported),
    ((pg.ReadOnlySqlTransaction,), lambda _: ReadOnlySession()),
    ((pg.InsufficientPrivilege,), lambda _: AccessDenied("no privilege, or a row of another tenant")),
    (_NO_CONNECTION, _lost),
    ((psycopg.IntegrityError,), _constraint),
    ((psycopg.DataError,), lambda _: InvalidValue("a value that Postgres cannot store")),
    ((psycopg.OperationalError,), _operational),
)


def translate(error: psycopg.Error) -> DatabaseError:
    """The error of ours that a driver's error means."""
    if error.sqlstate == MEMBERSHIP_DENIED:
        return MembershipDenied()
    for kinds, make in _RULES:
        if isinstance(error, kinds):
            return make(error)
    return StatementFailed(type(error).__name__, error.sqlstate)
