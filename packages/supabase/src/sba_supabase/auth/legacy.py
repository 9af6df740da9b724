"""The one symmetric key a project from before asymmetric signing keys may still use."""

from __future__ import annotations

from base64 import urlsafe_b64encode

from jwt import PyJWK

from sba_supabase.auth.jwk import VerificationKey


def legacy_key(secret: str) -> VerificationKey:
    """The HS256 key of a project's legacy JWT secret."""
    encoded = urlsafe_b64encode(secret.encode()).rstrip(b"=").decode()
    return VerificationKey("legacy", "HS256", PyJWK({"kty": "oct", "k": encoded}, "HS256"))
