"""Everything that can go wrong in the data layer, with the fields a caller decides on.

DatabaseError
├── DatabaseUnavailable      no connection, or lost in mid-flight: try again after `retry_after` seconds
│   └── PoolExhausted        every connection is in use
├── DatabaseTimeout          a statement, a lock or a silent server took longer than its limit
├── TransactionConflict      serialization failure or deadlock: the whole transaction may be run again
├── AccessDenied             the database refused: privilege or row level security
│   ├── MembershipDenied     the user is no live member of the tenant
│   ├── ReadOnlySession      a write through a reader
│   └── UnsafeRole           the login could step around row level security
├── StatementRefused         a statement the session does not send
│   ├── TenantFilterMissing  it does not filter by %(tenant)s
│   └── MembershipGuardMissing  a member was named and no guard is configured
├── StatementFailed          the server rejected the statement: a defect in it
├── ConstraintViolated       unique, foreign key, check or not-null, by name
├── InvalidInput             what the caller passed
│   ├── InvalidValue         names the field
│   ├── PayloadTooLarge      names the field, its limit and its size in bytes
│   └── InvalidCursor        not a cursor this list made
├── RunNotFound
├── ToolCallNotFound         nor one that could be finished this way
├── ToolCallEnded            it has ended before, or was lost: nothing was written
├── InvalidTransition        the run's status does not allow it
├── IdempotencyConflict      same key, another request
├── LeaseHeld                another worker holds the run for `retry_after` seconds
├── LeaseLost                the run was taken over, cancelled or finished: nothing was written
├── NotForDevelopment        made-up rows do not belong into this database
└── MigrationError
    ├── MigrationEdited      an applied migration's file has changed
    ├── MigrationFailed      a migration's SQL failed; it was rolled back
    ├── MigrationUnfinished  an earlier attempt did not finish and cannot be rolled back
    ├── MigrationLocked      another runner holds the lock
    └── BootstrapFailed      roles, database or extensions could not be made
"""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID


class DatabaseError(Exception):
    """Root of the tree."""


class DatabaseUnavailable(DatabaseError):
    """No usable connection to Postgres.

    Attributes:
        retry_after: Seconds after which another try makes sense.
        in_doubt: True when the connection was lost during COMMIT: the change may or may not be there.
    """

    def __init__(
        self, reason: str = "Postgres is not reachable", *, retry_after: float = 1.0, in_doubt: bool = False
    ) -> None:
        super().__init__(reason)
        self.retry_after = retry_after
        self.in_doubt = in_doubt


class PoolExhausted(DatabaseUnavailable):
    """Every connection is in use and none came free within the pool's time limit."""


class DatabaseTimeout(DatabaseError):
    """A statement, a lock or a silent server took longer than its limit."""


class TransactionConflict(DatabaseError):
    """A serialization failure or a deadlock: the whole transaction may be run again."""


class AccessDenied(DatabaseError):
    """The database refused: a missing privilege or row level security."""


class MembershipDenied(AccessDenied):
    """The user is no live member of the tenant."""

    def __init__(self) -> None:
        super().__init__("not a live member of this tenant")


class ReadOnlySession(AccessDenied):
    """A write was sent through a reader; writes go through `database.tenant()`."""

    def __init__(self) -> None:
        super().__init__("a reader cannot write: use database.tenant()")


class UnsafeRole(AccessDenied):
    """The login could step around row level security.

    Attributes:
        role: The login's name.
        reason: Which power it has.
    """

    def __init__(self, role: str, reason: str) -> None:
        super().__init__(f"refusing to serve as {role!r}: it {reason}")
        self.role = role
        self.reason = reason


class StatementRefused(DatabaseError):
    """A statement that the session does not send."""


class TenantFilterMissing(StatementRefused):
    """The statement does not filter by `%(tenant)s`."""

    def __init__(self) -> None:
        super().__init__("a tenant statement must name %(tenant)s")


class MembershipGuardMissing(StatementRefused):
    """A member was named, but the settings name no statement that checks membership."""

    def __init__(self) -> None:
        super().__init__("member= needs DatabaseSettings.enter_member")


class StatementFailed(DatabaseError):
    """The server rejected the statement, which is a defect in it.

    Attributes:
        sqlstate: The five-character code, or None when the driver refused it.
    """

    def __init__(self, kind: str, sqlstate: str | None) -> None:
        super().__init__(f"{kind} ({sqlstate or 'driver'})")
        self.sqlstate = sqlstate


class ConstraintViolated(DatabaseError):
    """A unique, foreign key, check or not-null rule said no.

    Attributes:
        constraint: Its name (for not-null: the column's).
        kind: One of unique, foreign_key, check, not_null, exclusion.
        table: The table, without its schema.
    """

    def __init__(self, *, constraint: str, kind: str, table: str) -> None:
        super().__init__(f"{kind} constraint {constraint!r} of {table!r}")
        self.constraint = constraint
        self.kind = kind
        self.table = table


class InvalidInput(DatabaseError):
    """What the caller passed cannot be stored or read.

    Attributes:
        field: The argument's name, if known.
    """

    def __init__(self, message: str, *, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field


class InvalidValue(InvalidInput):
    """A value that Postgres cannot hold, such as a NUL character in text."""

    def __init__(self, reason: str, *, field: str | None = None) -> None:
        super().__init__(f"{field}: {reason}" if field else reason, field=field)
        self.reason = reason


class PayloadTooLarge(InvalidInput):
    """A text or JSON document over its limit.

    Attributes:
        limit: Most bytes allowed, as UTF-8.
        size: Bytes given.
    """

    def __init__(self, *, field: str, limit: int, size: int) -> None:
        super().__init__(f"{field} is {size} bytes, the limit is {limit}", field=field)
        self.limit = limit
        self.size = size


class InvalidCursor(InvalidInput):
    """The text is not a cursor that this list made."""

    def __init__(self) -> None:
        super().__init__("not a cursor of this list", field="cursor")


class RunNotFound(DatabaseError):
    """The tenant has no such run."""

    def __init__(self, run_id: UUID) -> None:
        super().__init__(f"no run {run_id}")
        self.run_id = run_id


class ToolCallNotFound(DatabaseError):
    """The tenant has no such tool call, or none that can be finished with this lease, or without one."""

    def __init__(self, call_id: UUID) -> None:
        super().__init__(f"no tool call {call_id} to finish")
        self.call_id = call_id


class ToolCallEnded(DatabaseError):
    """The tool call has ended before; how it ended stands.

    Attributes:
        status: How it ended.
    """

    def __init__(self, call_id: UUID, *, status: str) -> None:
        super().__init__(f"tool call {call_id} has ended: it is {status}")
        self.call_id = call_id
        self.status = status


class InvalidTransition(DatabaseError):
    """The run's status does not allow what was asked.

    Attributes:
        status: The status it has.
    """

    def __init__(self, run_id: UUID, *, status: str, action: str) -> None:
        super().__init__(f"cannot {action} run {run_id}: it is {status}")
        self.run_id = run_id
        self.status = status
        self.action = action


class IdempotencyConflict(DatabaseError):
    """The idempotency key was used before, for another request."""

    def __init__(self, operation: str) -> None:
        super().__init__(f"this idempotency key was used for another {operation} request")
        self.operation = operation


class LeaseHeld(DatabaseError):
    """Another worker holds the run.

    Attributes:
        retry_after: Seconds until its lease ends, if it is not extended.
    """

    def __init__(self, run_id: UUID, *, retry_after: float) -> None:
        super().__init__(f"run {run_id} is held by another worker")
        self.run_id = run_id
        self.retry_after = retry_after


class LeaseLost(DatabaseError):
    """The run was taken over, cancelled or finished; nothing was written."""

    def __init__(self, run_id: UUID) -> None:
        super().__init__(f"the lease on run {run_id} is lost")
        self.run_id = run_id


class NotForDevelopment(DatabaseError):
    """The database is not one to put made-up rows into.

    Attributes:
        reasons: What speaks against it.
        final: Whether it says so itself, which nobody can overrule but who changes that.
    """

    def __init__(self, reasons: Sequence[str], *, final: bool) -> None:
        advice = "" if final else "; --force does it nevertheless, and what is audited stays for good"
        super().__init__(f"not a database for development: {' and '.join(reasons)}{advice}")
        self.reasons = tuple(reasons)
        self.final = final


class MigrationError(DatabaseError):
    """Migrations cannot go on.

    Attributes:
        migration: The migration's folder name, if one is to blame.
    """

    def __init__(self, message: str, *, migration: str | None = None) -> None:
        super().__init__(message)
        self.migration = migration


class MigrationEdited(MigrationError):
    """An applied migration's file has changed since."""

    def __init__(self, migration: str) -> None:
        super().__init__(
            f"migration {migration} was edited after it was applied: restore it, put the change in a new one",
            migration=migration,
        )


class MigrationFailed(MigrationError):
    """A migration's SQL failed.

    Attributes:
        reason: The server's message.
        line: The line of migration.sql, if the server named a place.
    """

    def __init__(self, migration: str, *, reason: str, line: int | None) -> None:
        place = f", line {line}" if line else ""
        super().__init__(f"migration {migration} failed{place}: {reason}", migration=migration)
        self.reason = reason
        self.line = line


class MigrationUnfinished(MigrationError):
    """An earlier attempt outside a transaction did not finish."""

    def __init__(self, migration: str) -> None:
        super().__init__(
            f"migration {migration} did not finish: repair what it left, then delete its row from"
            " service._prisma_migrations (or `prisma migrate resolve`) and run again",
            migration=migration,
        )


class MigrationLocked(MigrationError):
    """Another runner held the migration lock for longer than we wait."""

    def __init__(self) -> None:
        super().__init__("another migration is running")


class BootstrapFailed(MigrationError):
    """Roles, the database or an extension could not be made."""
