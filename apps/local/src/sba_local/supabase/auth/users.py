"""The users, as rows and as documents."""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import psycopg
from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from sba_local.supabase.auth import errors
from sba_local.supabase.auth.passwords import LEAST, protect
from sba_local.supabase.connections import Connection

_COLUMNS: Final = """
id, aud, role, email, encrypted_password, email_confirmed_at, last_sign_in_at, raw_app_meta_data,
raw_user_meta_data, banned_until, deleted_at, created_at, updated_at
"""
_BY_ID: Final = f"select {_COLUMNS} from auth.users where id = %(id)s and deleted_at is null"  # noqa: S608  # columns of our own
_BY_EMAIL: Final = f"select {_COLUMNS} from auth.users where email = %(email)s and deleted_at is null"  # noqa: S608  # columns of our own
_PAGE: Final = f"""
select {_COLUMNS} from auth.users where deleted_at is null
order by created_at desc, id limit %(limit)s offset %(offset)s
"""  # noqa: S608  # columns of our own
_COUNT: Final = "select count(*) from auth.users where deleted_at is null"
_ADD: Final = f"""
insert into auth.users (
    id, email, encrypted_password, email_confirmed_at, raw_app_meta_data, raw_user_meta_data, banned_until,
    role, created_at, updated_at
) values (
    %(id)s, %(email)s, %(password)s, %(confirmed)s, %(app)s, %(user)s, %(banned)s,
    %(role)s, %(now)s, %(now)s
) returning {_COLUMNS}
"""  # noqa: S608  # columns of our own
_CHANGE: Final = f"""
update auth.users set
    email = coalesce(%(email)s, email),
    encrypted_password = coalesce(%(password)s, encrypted_password),
    email_confirmed_at = coalesce(email_confirmed_at, %(confirmed)s),
    raw_app_meta_data = (
        select coalesce(jsonb_object_agg(key, value), '{{}}') from jsonb_each(raw_app_meta_data || %(app)s)
        where value <> 'null'
    ),
    raw_user_meta_data = (
        select coalesce(jsonb_object_agg(key, value), '{{}}') from jsonb_each(raw_user_meta_data || %(user)s)
        where value <> 'null'
    ),
    banned_until = case when %(bans)s then %(banned)s else banned_until end,
    role = coalesce(%(role)s, role),
    updated_at = %(now)s
where id = %(id)s and deleted_at is null returning {_COLUMNS}
"""  # noqa: S608  # columns of our own
_REMOVE: Final = "delete from auth.users where id = %(id)s returning id"
_HIDE: Final = """
update auth.users set email = null, encrypted_password = null, raw_user_meta_data = '{}', deleted_at = %(now)s
where id = %(id)s and deleted_at is null returning id
"""
_SIGNED_IN: Final = "update auth.users set last_sign_in_at = %(now)s where id = %(id)s"

_EMAIL: Final = re.compile(r"[^\s@\x00-\x1f]{1,64}@[^\s@\x00-\x1f]+")
_LONGEST_EMAIL: Final = 255
_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|h|m|s)")
_SECONDS: Final = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_LONGEST_BAN: Final = 2**63 / 1e9  # seconds that a duration of Go can hold
_PROVIDER: Final = {"provider": "email", "providers": ["email"]}


@dataclass(frozen=True, slots=True)
class User:
    """A row of `auth.users`."""

    id: uuid.UUID
    aud: str
    role: str
    email: str | None
    encrypted_password: str | None
    email_confirmed_at: datetime | None
    last_sign_in_at: datetime | None
    raw_app_meta_data: dict[str, Any]
    raw_user_meta_data: dict[str, Any]
    banned_until: datetime | None
    deleted_at: datetime | None
    created_at: datetime
    updated_at: datetime

    def __repr__(self) -> str:
        return f"User({self.id})"

    def is_banned(self, now: datetime) -> bool:
        """Whether they may not sign in at the moment."""
        return self.banned_until is not None and self.banned_until > now

    def document(self) -> dict[str, Any]:
        """What is told about them."""
        optional = {
            "email_confirmed_at": text_of(self.email_confirmed_at),
            "confirmed_at": text_of(self.email_confirmed_at),
            "last_sign_in_at": text_of(self.last_sign_in_at),
            "banned_until": text_of(self.banned_until),
        }
        return {
            "id": str(self.id),
            "aud": self.aud,
            "role": self.role,
            "email": self.email or "",
            "phone": "",
            "app_metadata": self.raw_app_meta_data,
            "user_metadata": self.raw_user_meta_data,
            "identities": [self._identity()],
            "created_at": text_of(self.created_at),
            "updated_at": text_of(self.updated_at),
            "is_anonymous": False,
            **{name: value for name, value in optional.items() if value is not None},
        }

    def _identity(self) -> dict[str, Any]:
        return {
            "identity_id": str(uuid.uuid5(self.id, "email")),
            "id": str(self.id),
            "user_id": str(self.id),
            "identity_data": {
                "email": self.email,
                "email_verified": self.email_confirmed_at is not None,
                "phone_verified": False,
                "sub": str(self.id),
            },
            "provider": "email",
            "last_sign_in_at": text_of(self.last_sign_in_at or self.created_at),
            "created_at": text_of(self.created_at),
            "updated_at": text_of(self.updated_at),
            "email": self.email,
        }


@dataclass(frozen=True, slots=True)
class Wishes:
    """What a request says a user should be; None for what it does not mention."""

    email: str | None = None
    password: str | None = None
    app_metadata: Mapping[str, Any] | None = None
    user_metadata: Mapping[str, Any] | None = None
    confirm: bool = False
    ban: str | None = None
    role: str | None = None

    def __repr__(self) -> str:
        return "Wishes()"


def text_of(moment: datetime | None) -> str | None:
    """As Supabase Auth writes it."""
    return None if moment is None else moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def email_of(value: object) -> str:
    """The address in the form in which it is kept.

    Raises:
        AuthRefusal: it is none.
    """
    if not isinstance(value, str) or len(value) > _LONGEST_EMAIL or not _EMAIL.fullmatch(value.strip()):
        raise errors.invalid("Unable to validate email address: invalid format")
    return value.strip().lower()


def password_of(value: object) -> str:
    """The password, long enough.

    Raises:
        AuthRefusal: it is too short, or none.
    """
    if not isinstance(value, str) or not value:
        raise errors.invalid("Signup requires a valid password")
    if len(value) < LEAST:
        raise errors.weak(LEAST)
    return value


def metadata_of(value: object) -> Mapping[str, Any] | None:
    """An object of the caller's own, None where there is none.

    Raises:
        AuthRefusal: it is something else.
    """
    if value is not None and not isinstance(value, Mapping):
        raise errors.bad_json()
    return value


def ban_until(duration: str | None, now: datetime) -> datetime | None:
    """When a ban ends; `none` and no ban at all end at once.

    Raises:
        AuthRefusal: it is no duration such as `24h` or `1h30m`.
    """
    if duration is None or duration == "none":
        return None
    parts = _DURATION.findall(duration)
    if "".join(number + unit for number, unit in parts) != duration or not parts:
        raise errors.invalid(f"invalid format for ban duration: {duration[:32]!r}")
    seconds = sum(float(number) * _SECONDS[unit] for number, unit in parts)
    if seconds > _LONGEST_BAN:
        raise errors.invalid(f"invalid format for ban duration: {duration[:32]!r}")
    return now + timedelta(seconds=seconds)


async def find(
    connection: Connection, *, user_id: uuid.UUID | None = None, email: str | None = None
) -> User | None:
    """The user by id or else by address."""
    if user_id is not None:
        return await _one(connection, _BY_ID, {"id": user_id})
    return await _one(connection, _BY_EMAIL, {"email": email})


async def page(connection: Connection, *, limit: int, offset: int) -> tuple[Sequence[User], int]:
    """Some users, newest first, and how many there are."""
    async with psycopg.AsyncCursor(connection, row_factory=class_row(User)) as cursor:
        found = await (await cursor.execute(_PAGE, {"limit": limit, "offset": offset})).fetchall()
    row = await (await connection.execute(_COUNT)).fetchone()
    return found, row[0] if row else 0


async def add(
    connection: Connection, wishes: Wishes, now: datetime, *, user_id: uuid.UUID | None = None
) -> User | None:
    """Make a user; None when the address is taken."""
    values = {
        "id": user_id or uuid.uuid4(),
        "email": wishes.email,
        "role": wishes.role or "authenticated",
        **await _values(wishes, now),
        "app": Jsonb({**_PROVIDER, **(wishes.app_metadata or {})}),
    }
    try:
        return await _one(connection, _ADD, values)
    except psycopg.errors.UniqueViolation:
        return None


async def change(connection: Connection, user_id: uuid.UUID, wishes: Wishes, now: datetime) -> User | None:
    """Change a user; None when there is none.

    Raises:
        AuthRefusal: the new address is taken.
    """
    values = {
        "id": user_id,
        "email": wishes.email,
        "role": wishes.role,
        "bans": wishes.ban is not None,
        **await _values(wishes, now),
    }
    try:
        return await _one(connection, _CHANGE, values)
    except psycopg.errors.UniqueViolation:
        raise errors.email_taken() from None


async def remove(connection: Connection, user_id: uuid.UUID, now: datetime, *, softly: bool) -> bool:
    """Delete a user, or only what is known of them; False when there is none."""
    statement = _HIDE if softly else _REMOVE
    row = await (await connection.execute(statement, {"id": user_id, "now": now})).fetchone()
    return row is not None


async def note_sign_in(connection: Connection, user_id: uuid.UUID, now: datetime) -> None:
    """Remember when they signed in last."""
    await connection.execute(_SIGNED_IN, {"id": user_id, "now": now})


async def _values(wishes: Wishes, now: datetime) -> dict[str, Any]:
    return {
        "password": None if wishes.password is None else await protect(wishes.password),
        "confirmed": now if wishes.confirm else None,
        "app": Jsonb(dict(wishes.app_metadata or {})),
        "user": Jsonb(dict(wishes.user_metadata or {})),
        "banned": ban_until(wishes.ban, now),
        "now": now,
    }


async def _one(connection: Connection, statement: str, values: Mapping[str, Any]) -> User | None:
    async with psycopg.AsyncCursor(connection, row_factory=class_row(User)) as cursor:
        await cursor.execute(statement.encode(), values)
        return await cursor.fetchone()
