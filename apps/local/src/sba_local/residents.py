"""The tenants and users of a development stack, and how a new one is let in."""

import re
import uuid
from dataclasses import dataclass
from typing import Any

import psycopg

from sba_db.seed.story import NAMESPACE
from sba_local.errors import StackError, UnknownName

ROLES = ("owner", "admin", "member", "viewer")

_SLUG = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_USER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,99}")

_LOCK_USER = "select pg_advisory_xact_lock(hashtextextended(%(user)s::text, 5610))"
_FIND_TENANT = "select id from public.tenants where id::text = lower(%(name)s) or slug = %(name)s"
_ADD_TENANT = """
insert into public.tenants (id, slug, name) values (%(tenant)s, %(slug)s, %(name)s) on conflict do nothing
"""
_MEMBERSHIPS = """
select tenant_id, role, revoked_at is null as live from public.memberships where user_id = %(user)s
"""
_ADD_MEMBER = """
insert into public.memberships (tenant_id, user_id, role) values (%(tenant)s, %(user)s, %(role)s)
on conflict do nothing
"""


def _local_id(kind: str, name: str) -> uuid.UUID:
    return uuid.uuid5(NAMESPACE, f"{kind}:{name}")


@dataclass(frozen=True, slots=True)
class Resident:
    """A user and the tenant they belong to."""

    slug: str
    tenant_name: str
    user_name: str
    role: str = "owner"

    @property
    def tenant_id(self) -> uuid.UUID:
        """The tenant's id, the same on every machine."""
        return _local_id("tenant", self.slug)

    @property
    def user_id(self) -> uuid.UUID:
        """The user's id, the same on every machine."""
        return _local_id("user", self.user_name)

    @property
    def email(self) -> str:
        """What they sign in with."""
        return f"{self.user_name}@{self.slug}.test"


ACME = Resident("acme", "Acme", "ada")
GLOBEX = Resident("globex", "Globex", "gita")


@dataclass(frozen=True, slots=True)
class Admission:
    """What provisioning came to.

    Attributes:
        tenant_id: the tenant.
        user_id: the user.
        role: the user's role there, None if they have none.
        warning: what the person at the terminal should know, None if all is well.
    """

    tenant_id: uuid.UUID
    user_id: uuid.UUID
    role: str | None = None
    warning: str | None = None


def user_id(name: str) -> uuid.UUID:
    """The id of a user given by id or name; a name has the same id on every machine.

    Raises:
        UnknownName: it cannot be a name.
    """
    try:
        return uuid.UUID(name)
    except ValueError:
        pass
    if not _USER.fullmatch(name):
        raise UnknownName("user", name, "is neither an id nor a name (letters, digits, . _ @ + -)")
    return _local_id("user", name.lower())


def tenant_id(name: str) -> uuid.UUID:
    """The id of a tenant given by id or slug, as far as it can be known without asking a database.

    Raises:
        UnknownName: it cannot be a slug.
    """
    try:
        return uuid.UUID(name)
    except ValueError:
        pass
    if not _SLUG.fullmatch(name):
        raise UnknownName("tenant", name, "is neither an id nor a slug (lower-case letters, digits, hyphens)")
    return _local_id("tenant", name)


async def seed(admin_url: str) -> None:
    """Make the two tenants every stack starts with; safe to repeat.

    Args:
        admin_url: DSN of a superuser on the stack's database.
    """
    async with await psycopg.AsyncConnection.connect(admin_url) as connection:
        for resident in (ACME, GLOBEX):
            await _add_tenant(connection, resident.tenant_id, resident.slug, resident.tenant_name)
            await _add_member(connection, resident.tenant_id, resident.user_id, resident.role)


async def look_up(admin_url: str, *, tenant: str, user: str) -> Admission:
    """Resolve the names and change nothing.

    Raises:
        UnknownName: one cannot be resolved.
        StackError: the database does not answer.
    """
    async with await _connect(admin_url) as connection:
        found = await _find_tenant(connection, tenant) or tenant_id(tenant)
        roles = await _live_roles(connection, user_id(user))
        return Admission(found, user_id(user), role=roles.get(found))


async def admit(admin_url: str, *, tenant: str, user: str, role: str | None = None) -> Admission:
    """Resolve the names and let the user in where that takes nothing away from anyone.

    An unknown tenant is made, with the user in it; a user who belongs nowhere is added to the tenant; a user
    who belongs (or belonged) elsewhere is not.

    Args:
        admin_url: DSN of a superuser on the stack's database.
        tenant: id or slug.
        user: id or name.
        role: for a membership made here; "member" when None.

    Raises:
        UnknownName: one cannot be resolved.
        StackError: the database does not answer.
    """
    member, wanted = user_id(user), tenant_id(tenant)
    if role is not None and role not in ROLES:
        raise UnknownName("role", role, f"is none of {', '.join(ROLES)}")
    async with await _connect(admin_url) as connection:
        await connection.execute(_LOCK_USER, {"user": str(member)})
        found = await _find_tenant(connection, tenant)
        if found is None:
            found = wanted
            await _add_tenant(connection, found, _slug_for(tenant), tenant)
            await _add_member(connection, found, member, role or "member")
        elif not await _any_membership(connection, member):
            await _add_member(connection, found, member, role or "member")
        held = (await _live_roles(connection, member)).get(found)
    return Admission(found, member, role=held, warning=None if held else _refusal(user, tenant))


def _refusal(user: str, tenant: str) -> str:
    return (
        f"{user} is not a member of {tenant} and was not added, having (or having had) a membership already: "
        "the services will refuse this token with 403"
    )


def _slug_for(tenant: str) -> str:
    try:
        return f"tenant-{uuid.UUID(tenant)}"
    except ValueError:
        return tenant


async def _connect(admin_url: str) -> psycopg.AsyncConnection[Any]:
    try:
        return await psycopg.AsyncConnection.connect(admin_url, connect_timeout=5)
    except psycopg.OperationalError as error:
        raise StackError("the stack's database does not answer: is `sba-local up` running?") from error


async def _find_tenant(connection: psycopg.AsyncConnection[Any], tenant: str) -> uuid.UUID | None:
    row = await (await connection.execute(_FIND_TENANT, {"name": tenant})).fetchone()
    return row[0] if row else None


async def _live_roles(connection: psycopg.AsyncConnection[Any], member: uuid.UUID) -> dict[uuid.UUID, str]:
    rows = await (await connection.execute(_MEMBERSHIPS, {"user": member})).fetchall()
    return {tenant: role for tenant, role, live in rows if live}


async def _any_membership(connection: psycopg.AsyncConnection[Any], member: uuid.UUID) -> bool:
    return bool(await (await connection.execute(_MEMBERSHIPS, {"user": member})).fetchall())


async def _add_tenant(
    connection: psycopg.AsyncConnection[Any], tenant: uuid.UUID, slug: str, name: str
) -> None:
    await connection.execute(_ADD_TENANT, {"tenant": tenant, "slug": slug, "name": name})


async def _add_member(
    connection: psycopg.AsyncConnection[Any], tenant: uuid.UUID, member: uuid.UUID, role: str
) -> None:
    await connection.execute(_ADD_MEMBER, {"tenant": tenant, "user": member, "role": role})
