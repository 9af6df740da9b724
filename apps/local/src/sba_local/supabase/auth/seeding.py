"""Users who can sign in on a stack that nobody has signed up on yet."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import psycopg

from sba_local.supabase.auth import users
from sba_local.supabase.auth.users import Wishes

_NOW: Final = "select now()"


@dataclass(frozen=True, slots=True)
class Seedling:
    """A user to be.

    Attributes:
        id: the user's.
        email: to sign in with.
        password: to sign in with.
        app_metadata: what their tokens say of them.
    """

    id: uuid.UUID
    email: str
    password: str = field(repr=False)
    app_metadata: Mapping[str, Any] = field(default_factory=dict)


async def plant(admin_url: str, seedlings: Sequence[Seedling]) -> None:
    """Make those users who are not there yet; one who is stays as they are.

    Args:
        admin_url: DSN of a superuser on the stack's database.
        seedlings: who to make.
    """
    async with await psycopg.AsyncConnection.connect(admin_url, autocommit=True) as connection:
        row = await (await connection.execute(_NOW)).fetchone()
        for one in seedlings:
            if row is not None and await users.find(connection, user_id=one.id) is None:
                wishes = Wishes(
                    email=one.email, password=one.password, app_metadata=one.app_metadata, confirm=True
                )
                await users.add(connection, wishes, row[0], user_id=one.id)
