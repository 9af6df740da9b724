"""What `sba-local token` does."""

import asyncio
from dataclasses import dataclass, field
from pathlib import Path

from sba_local.errors import StackError
from sba_local.identity import Issuer
from sba_local.layout import DEFAULT_DATA_DIR, read_admin_url, read_environment
from sba_local.residents import Admission, admit, look_up, tenant_id, user_id


@dataclass(frozen=True, slots=True)
class TokenWish:
    """A token somebody wants.

    Attributes:
        tenant: id or slug.
        user: id or name.
        role: the role it names; the membership's, or "member", when None.
        ttl: seconds until it expires.
        provision: whether tenant and membership may be made for it.
    """

    tenant: str
    user: str
    role: str | None = None
    ttl: float = 3600.0
    provision: bool = True


@dataclass(frozen=True, slots=True)
class Token:
    """A token and what to know about it."""

    token: str = field(repr=False)
    warning: str | None = None


def issue(wish: TokenWish, data_dir: Path | None = None) -> Token:
    """Mint the token, letting its user in first if that is wished.

    Args:
        wish: the token.
        data_dir: of the stack; the default one when None.

    Raises:
        StackNotFound: no stack was started there.
        StackError: its database does not answer.
        UnknownName: the tenant or user cannot be resolved.
    """
    place = data_dir or DEFAULT_DATA_DIR
    environment = read_environment(place)
    admission = asyncio.run(_admission(wish, read_admin_url(place)))
    token = Issuer.load(place, environment["SUPABASE_URL"]).mint(
        user_id=admission.user_id,
        tenant_id=admission.tenant_id,
        role=wish.role or admission.role or "member",
        ttl=wish.ttl,
    )
    return Token(token, admission.warning)


async def _admission(wish: TokenWish, admin_url: str) -> Admission:
    if wish.provision:
        return await admit(admin_url, tenant=wish.tenant, user=wish.user, role=wish.role)
    try:
        return await look_up(admin_url, tenant=wish.tenant, user=wish.user)
    except StackError:
        return Admission(tenant_id(wish.tenant), user_id(wish.user))
