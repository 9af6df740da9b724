"""Why a token is refused, each reason with a `code` that callers may show; `errors` draws the tree."""

from __future__ import annotations

from typing import ClassVar

from sba_supabase.supabase_error import SupabaseError


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


class PayloadMalformed(TokenMalformed):
    """The signature fits, but what it covers is not one JSON object."""

    code = "payload_malformed"
    message = "the token's payload is malformed"


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
