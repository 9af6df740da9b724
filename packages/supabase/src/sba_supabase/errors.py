"""What can go wrong, each kind with a `code` that callers may show.

SupabaseError
├── SettingsError            settings_invalid       variables missing or wrong, all of them at once
├── KeysUnavailable          keys_unavailable       the signing keys cannot be had now: 503
├── TokenError               token_refused          the caller is not who they say: 401
│   ├── TokenMissing         token_missing
│   ├── TokenTooLarge        token_too_large
│   ├── TokenMalformed       token_malformed        not three canonical base64url segments of JSON objects
│   │   ├── PayloadMalformed payload_malformed      signed, but no JSON object
│   │   └── MemberDuplicated member_duplicated      a JSON object names a member twice
│   ├── HeaderRefused        header_refused         a header that brings its own key or encoding
│   │   ├── TypeWrong        type_wrong             `typ` is not JWT
│   │   └── ExtensionUnknown extension_unknown      `crit` asks for what is not understood
│   ├── AlgorithmRefused     algorithm_refused      not the algorithm of that key, or not allowed
│   ├── KeyUnknown           key_unknown            no such `kid` in the key set
│   ├── SignatureWrong       signature_wrong
│   ├── TokenExpired         token_expired
│   ├── TokenNotYetValid     token_not_yet_valid    `nbf` lies ahead
│   ├── IssuedInFuture       issued_in_future       `iat` lies ahead
│   ├── IssuerWrong          issuer_wrong
│   ├── AudienceWrong        audience_wrong
│   ├── ClaimMissing         claim_missing          .claim names it
│   ├── ClaimInvalid         claim_invalid          .claim names it
│   ├── RoleRefused          role_refused           service_role, anon, or any other role not allowed
│   └── TokenRevoked         token_revoked
├── ClientError              client_refused         a client is asked for what it must not do
│   ├── AdminSession         admin_session          somebody signs in on an admin client
│   ├── RequestEscapes       request_escapes        a request to another host than the project's
│   ├── TenantRefused        tenant_refused         an admin client asks for a tenant context
│   └── PoolElsewhere        pool_elsewhere         a pool is used in another event loop or process
├── AnswerTooLarge           answer_too_large       .largest: an answer that goes beyond `Limits.largest`
├── SessionUnavailable       session_unavailable    an expired session cannot be refreshed now: 503
├── MembershipRequired       membership_required    .tenant_id: no live membership of it: 403
├── TenantUnavailable        tenant_unavailable     membership cannot be asked for now, .reason: 503
├── RemoteError              remote_failed          .status, .reason: an RPC, function or file was answered so
│   ├── RemoteRefused        remote_refused         the caller may not: 401, 403
│   ├── RemoteMissing        remote_missing         there is no such thing: 404
│   ├── RemoteConflict       remote_conflict        there is one already: 409
│   ├── RemoteInvalid        remote_invalid         any other of the 400s
│   ├── RemoteUnavailable    remote_unavailable     no answer, or one in the 500s: .retry_after
│   └── ResultInvalid        result_invalid         an answer of another shape: .places
├── PathRefused              path_refused           a path that could leave its tenant's folder
├── TenantUnset              tenant_unset           a client without `set_tenant_context`
├── AllowListInvalid         allow_list_invalid     a list of allowed findings that gives no reasons
├── IntrospectionFailed      introspection_failed   the database's types cannot be read
└── MigrationError           migration_failed
    ├── MigrationsMissing    migrations_missing     the package came without its SQL files
    ├── MigrationMisnamed    migration_misnamed     .file
    ├── MigrationEdited      migration_edited       .version was changed after it was applied
    ├── MigrationOutOfOrder  migration_out_of_order .version is older than one already applied
    └── MigrationStatementFailed  migration_statement_failed  .version, .sqlstate

No message holds a token, a claim's value, a key, a setting's value or a password.
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from sba_supabase.auth.refusals import (
    AlgorithmRefused,
    AudienceWrong,
    ClaimInvalid,
    ClaimMissing,
    ExtensionUnknown,
    HeaderRefused,
    IssuedInFuture,
    IssuerWrong,
    KeyUnknown,
    MemberDuplicated,
    PayloadMalformed,
    RoleRefused,
    SignatureWrong,
    TokenError,
    TokenExpired,
    TokenMalformed,
    TokenMissing,
    TokenNotYetValid,
    TokenRevoked,
    TokenTooLarge,
    TypeWrong,
)
from sba_supabase.remote_refusals import (
    PathRefused,
    RemoteConflict,
    RemoteError,
    RemoteInvalid,
    RemoteMissing,
    RemoteRefused,
    RemoteUnavailable,
    ResultInvalid,
    TenantUnset,
)
from sba_supabase.supabase_error import SupabaseError

__all__ = [
    "AdminSession",
    "AlgorithmRefused",
    "AllowListInvalid",
    "AnswerTooLarge",
    "AudienceWrong",
    "ClaimInvalid",
    "ClaimMissing",
    "ClientError",
    "ExtensionUnknown",
    "HeaderRefused",
    "IntrospectionFailed",
    "IssuedInFuture",
    "IssuerWrong",
    "KeyUnknown",
    "KeysUnavailable",
    "MemberDuplicated",
    "MembershipRequired",
    "MigrationEdited",
    "MigrationError",
    "MigrationMisnamed",
    "MigrationOutOfOrder",
    "MigrationStatementFailed",
    "MigrationsMissing",
    "PathRefused",
    "PayloadMalformed",
    "PoolElsewhere",
    "RemoteConflict",
    "RemoteError",
    "RemoteInvalid",
    "RemoteMissing",
    "RemoteRefused",
    "RemoteUnavailable",
    "RequestEscapes",
    "ResultInvalid",
    "RoleRefused",
    "SessionUnavailable",
    "SettingProblem",
    "SettingsError",
    "SignatureWrong",
    "SupabaseError",
    "TenantRefused",
    "TenantUnavailable",
    "TenantUnset",
    "TokenError",
    "TokenExpired",
    "TokenMalformed",
    "TokenMissing",
    "TokenNotYetValid",
    "TokenRevoked",
    "TokenTooLarge",
    "TypeWrong",
]


@dataclass(frozen=True, slots=True)
class SettingProblem:
    """One variable that is missing or wrong: its name and the rule it breaks, never its value."""

    name: str
    rule: str


class SettingsError(SupabaseError):
    """Settings are missing or wrong.

    Attributes:
        problems: every problem found, in the order the settings declare them.
    """

    code = "settings_invalid"

    def __init__(self, problems: tuple[SettingProblem, ...]) -> None:
        self.problems = problems
        lines = "".join(f"\n  {problem.name}: {problem.rule}" for problem in problems)
        super().__init__(f"settings missing or wrong ({len(problems)}):{lines}")


class KeysUnavailable(SupabaseError):
    """The signing keys cannot be had at the moment, so the token can neither be accepted nor refused.

    Attributes:
        retry_after: seconds until asking again can help.
    """

    code = "keys_unavailable"

    def __init__(self, retry_after: float) -> None:
        self.retry_after = retry_after
        super().__init__("the signing keys are unavailable")


class ClientError(SupabaseError):
    """A client is asked for what it must not do."""

    code = "client_refused"


class AdminSession(ClientError):
    """Somebody signs in on an admin client, which would then act as that user for everyone."""

    code = "admin_session"

    def __init__(self) -> None:
        super().__init__("an admin client has no session: sign in on a client of create_server_client")


class RequestEscapes(ClientError):
    """A request is meant for another host than the project's, which must not see its keys."""

    code = "request_escapes"

    def __init__(self) -> None:
        super().__init__("a request to another host than the project's")


class TenantRefused(ClientError):
    """An admin client asks for a tenant context: its role is bound by no policy, so it would bind nothing."""

    code = "tenant_refused"

    def __init__(self) -> None:
        super().__init__("an admin client passes by row level security: act as the user instead")


class PoolElsewhere(ClientError):
    """A pool is used in another event loop or process than the first: its connections are of no use there."""

    code = "pool_elsewhere"

    def __init__(self) -> None:
        super().__init__("a pool belongs to the event loop and process that used it first: make another here")


class AnswerTooLarge(SupabaseError):
    """An answer goes on beyond the size that is read.

    Attributes:
        largest: bytes, unpacked.
    """

    code = "answer_too_large"

    def __init__(self, largest: int) -> None:
        self.largest = largest
        super().__init__(f"an answer of more than {largest} bytes")


class SessionUnavailable(SupabaseError):
    """A session has expired and the issuer cannot be asked for a new one at the moment."""

    code = "session_unavailable"

    def __init__(self) -> None:
        super().__init__("the session has expired and cannot be refreshed now")


class MembershipRequired(SupabaseError):
    """The client's user is no live member of the tenant, or the tenant does not exist.

    Attributes:
        tenant_id: which one.
    """

    code = "membership_required"

    def __init__(self, tenant_id: UUID) -> None:
        self.tenant_id = tenant_id
        super().__init__("a live membership is required")


class TenantUnavailable(SupabaseError):
    """Membership could not be asked for.

    Attributes:
        reason: the code the project answered, or what failed on the way.
    """

    code = "tenant_unavailable"

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(f"membership cannot be asked for: {reason}")


class AllowListInvalid(SupabaseError):
    """A list of allowed findings cannot be read, or an entry of it gives no reason."""

    code = "allow_list_invalid"


class IntrospectionFailed(SupabaseError):
    """The types of a database cannot be read."""

    code = "introspection_failed"


class MigrationError(SupabaseError):
    """The migrations could not be applied."""

    code = "migration_failed"


class MigrationsMissing(MigrationError):
    """The package came without its SQL files."""

    code = "migrations_missing"

    def __init__(self) -> None:
        super().__init__("no migrations found: the package is incomplete")


class MigrationMisnamed(MigrationError):
    """A file is not named `<14 digits>_<name>.sql`, or its version is taken.

    Attributes:
        file: its name.
    """

    code = "migration_misnamed"

    def __init__(self, file: str) -> None:
        self.file = file
        super().__init__(f"{file}: a migration is named <14 digits>_<name>.sql with a version of its own")


class MigrationEdited(MigrationError):
    """A migration was changed after it had been applied.

    Attributes:
        version: which one.
    """

    code = "migration_edited"

    def __init__(self, version: str) -> None:
        self.version = version
        super().__init__(f"{version} was edited after it was applied: restore it and add a new migration")


class MigrationOutOfOrder(MigrationError):
    """A migration is older than one that has been applied.

    Attributes:
        version: which one.
    """

    code = "migration_out_of_order"

    def __init__(self, version: str) -> None:
        self.version = version
        super().__init__(f"{version} is older than a migration already applied: give it a newer version")


class MigrationStatementFailed(MigrationError):
    """A migration failed and was rolled back whole.

    Attributes:
        version: which one.
        sqlstate: what Postgres called it, None when the connection was lost.
    """

    code = "migration_statement_failed"

    def __init__(self, version: str, sqlstate: str | None, reason: str) -> None:
        self.version = version
        self.sqlstate = sqlstate
        super().__init__(f"{version} failed and was rolled back ({sqlstate}): {reason}")
