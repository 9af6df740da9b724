"""The one place where the driver's errors become ours, without the row values its messages carry."""

from __future__ import annotations

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


def _lost(_: psycopg.Error) -> DatabaseError:
    return DatabaseUnavailable(retry_after=SOON)


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
