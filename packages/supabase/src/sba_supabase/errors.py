"""What can go wrong, each kind with a `code` that callers may show.

SupabaseError
├── SettingsError            settings_invalid       variables missing or wrong, all of them at once
├── KeysUnavailable          keys_unavailable       the signing keys cannot be had now: 503
├── TokenError               token_refused          the caller is not who they say: 401
│   ├── TokenMissing         token_missing
│   ├── TokenTooLarge        token_too_large
│   ├── TokenMalformed       token_malformed        not three canonical base64url segments of JSON objects
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
from typing import ClassVar


class SupabaseError(Exception):
    """The root of this package's errors."""

    code: ClassVar[str] = "supabase_error"


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


class TokenError(SupabaseError):
    """The token is refused."""

    code = "token_refused"
    message: ClassVar[str] = "the token is refused"

    def __init__(self) -> None:
        super().__init__(self.message)


class TokenMissing(TokenError):
    """No token was given."""

    code = "token_missing"
    message = "a token is required"


class TokenTooLarge(TokenError):
    """The token is longer than 8 KiB."""

    code = "token_too_large"
    message = "the token is too large"


class TokenMalformed(TokenError):
    """The token is not three canonical base64url segments holding JSON objects."""

    code = "token_malformed"
    message = "the token is malformed"


class MemberDuplicated(TokenMalformed):
    """A JSON object in the token names a member twice, so that readers could disagree about it."""

    code = "member_duplicated"
    message = "the token names a member twice"


class HeaderRefused(TokenError):
    """The header brings its own key, key address, certificate, compression or encoding."""

    code = "header_refused"
    message = "the token's header is refused"


class TypeWrong(HeaderRefused):
    """The header's `typ` is not JWT."""

    code = "type_wrong"
    message = "the token is of another type"


class ExtensionUnknown(HeaderRefused):
    """The header's `crit` asks for an extension that is not understood."""

    code = "extension_unknown"
    message = "the token requires an unknown extension"


class AlgorithmRefused(TokenError):
    """The header's `alg` is not allowed, or is not the algorithm of the key it names."""

    code = "algorithm_refused"
    message = "the token's algorithm is refused"


class KeyUnknown(TokenError):
    """The header names no key of the key set."""

    code = "key_unknown"
    message = "the token's key is unknown"


class SignatureWrong(TokenError):
    """The signature does not fit."""

    code = "signature_wrong"
    message = "the token's signature is wrong"


class TokenExpired(TokenError):
    """The token's `exp` has passed."""

    code = "token_expired"
    message = "the token has expired"


class TokenNotYetValid(TokenError):
    """The token's `nbf` lies ahead."""

    code = "token_not_yet_valid"
    message = "the token is not valid yet"


class IssuedInFuture(TokenError):
    """The token's `iat` lies ahead."""

    code = "issued_in_future"
    message = "the token was issued in the future"


class IssuerWrong(TokenError):
    """The token's `iss` is another issuer."""

    code = "issuer_wrong"
    message = "the token is from another issuer"


class AudienceWrong(TokenError):
    """The token's `aud` is another audience."""

    code = "audience_wrong"
    message = "the token is for another audience"


class _ClaimError(TokenError):
    """A refusal that names its claim."""

    def __init__(self, claim: str) -> None:
        super().__init__()
        self.claim = claim
        self.args = (f"{self.message}: {claim}",)


class ClaimMissing(_ClaimError):
    """A required claim is absent.

    Attributes:
        claim: its name.
    """

    code = "claim_missing"
    message = "the token lacks a claim"


class ClaimInvalid(_ClaimError):
    """A claim has the wrong type or shape.

    Attributes:
        claim: its name.
    """

    code = "claim_invalid"
    message = "the token has an invalid claim"


class RoleRefused(TokenError):
    """The token's `role` may not act as a user."""

    code = "role_refused"
    message = "the token's role is refused"


class TokenRevoked(TokenError):
    """The token or its session was revoked."""

    code = "token_revoked"
    message = "the token was revoked"


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
