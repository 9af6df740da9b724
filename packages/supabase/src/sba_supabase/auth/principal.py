"""Who a verified token proves its bearer to be."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Principal:
    """The bearer of a verified token.

    Attributes:
        user_id: the token's subject.
        tenant_id: the tenant named in `app_metadata`, which the user cannot write; whether they are a live
            member of it is still to be checked.
        role: the database role the token asks for.
        expires_at: when the token ends, in seconds since the epoch.
        session_id: the sign-in session, None when the issuer names none.
    """

    user_id: UUID
    tenant_id: UUID | None
    role: str
    expires_at: float
    session_id: str | None
