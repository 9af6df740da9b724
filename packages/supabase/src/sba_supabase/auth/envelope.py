"""A compact token taken apart strictly, before anything in it is believed."""

from __future__ import annotations

from dataclasses import dataclass

from sba_supabase.auth.base64url import decode
from sba_supabase.auth.strict_json import DuplicateMemberError, read_object
from sba_supabase.errors import (
    AlgorithmRefused,
    ExtensionUnknown,
    HeaderRefused,
    KeyUnknown,
    MemberDuplicated,
    TokenMalformed,
    TypeWrong,
)

_FORBIDDEN_HEADERS = frozenset({"jku", "jwk", "x5u", "x5c", "zip", "b64"})
_SEGMENTS = 3
_LONGEST_KID = 256


@dataclass(slots=True)
class Envelope:
    """What a token's header says and the bytes its signature covers, none of it verified yet."""

    algorithm: str
    kid: str | None
    signing_input: bytes
    payload: bytes
    signature: bytes


def read_members(data: bytes) -> dict[str, object]:
    """The members of a token's JSON object.

    Raises:
        MemberDuplicated: a member is named twice.
        TokenMalformed: it is not one JSON object.
    """
    try:
        return read_object(data)
    except DuplicateMemberError:
        raise MemberDuplicated from None
    except ValueError:
        raise TokenMalformed from None


def _check_extensions(header: dict[str, object]) -> None:
    if "crit" in header:
        raise ExtensionUnknown
    if not _FORBIDDEN_HEADERS.isdisjoint(header):
        raise HeaderRefused
    kind = header.get("typ", "JWT")
    if not isinstance(kind, str) or kind.upper() != "JWT":
        raise TypeWrong


def _algorithm(header: dict[str, object]) -> str:
    algorithm = header.get("alg")
    if not isinstance(algorithm, str):
        raise AlgorithmRefused
    return algorithm


def _kid(header: dict[str, object]) -> str | None:
    kid = header.get("kid")
    if kid is None:
        return None
    if not isinstance(kid, str) or not 0 < len(kid) <= _LONGEST_KID:
        raise KeyUnknown
    return kid


def open_envelope(token: bytes) -> Envelope:
    """Take a compact token apart.

    Args:
        token: ASCII, its size already bounded.

    Raises:
        TokenMalformed: not three canonical base64url segments, or a header that is no JSON object.
        MemberDuplicated: the header names a member twice.
        HeaderRefused: a header that is never followed or not understood.
        AlgorithmRefused: `alg` is not a string.
        KeyUnknown: `kid` cannot name a key.
    """
    segments = token.split(b".")
    if len(segments) != _SEGMENTS or not all(segments):
        raise TokenMalformed
    try:
        head, payload, signature = map(decode, segments)
    except ValueError:
        raise TokenMalformed from None
    header = read_members(head)
    _check_extensions(header)
    signing_input = token[: -len(segments[2]) - 1]
    return Envelope(_algorithm(header), _kid(header), signing_input, payload, signature)
