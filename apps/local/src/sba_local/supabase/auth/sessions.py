"""Sessions, and the refresh tokens that carry them on: each is good once."""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
import uuid
from base64 import urlsafe_b64encode
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, LiteralString

from sba_local.supabase.auth import errors
from sba_local.supabase.connections import Connection

REUSE_INTERVAL: Final = timedelta(seconds=10)

_OPEN: Final = "insert into auth.sessions (id, user_id, created_at) values (%(session)s, %(user)s, %(now)s)"
_EXISTS: Final = "select from auth.sessions where id = %(session)s and user_id = %(user)s"
_ADD: Final = """
insert into auth.refresh_tokens (digest, session_id, parent, seed, created_at, updated_at)
values (%(digest)s, %(session)s, %(parent)s, %(seed)s, %(now)s, %(now)s)
"""
_FIND: Final = """
select t.session_id, s.user_id, t.revoked, t.updated_at
from auth.refresh_tokens t join auth.sessions s on s.id = t.session_id
where t.digest = %(digest)s for update
"""
_SUCCESSOR: Final = """
select seed from auth.refresh_tokens
where session_id = %(session)s and parent = %(parent)s and seed is not null and not revoked
order by created_at desc limit 1
"""
_USE: Final = """
update auth.refresh_tokens set revoked = true, updated_at = %(now)s
where digest = %(digest)s and not revoked
"""
_REFRESHED: Final = "update auth.sessions set refreshed_at = %(now)s where id = %(session)s"
_REVOKE_FAMILY: Final = """
update auth.refresh_tokens set revoked = true, updated_at = %(then)s where session_id = %(session)s
"""
_CLOSE: Final[dict[str, LiteralString]] = {
    "local": "delete from auth.sessions where user_id = %(user)s and id = %(session)s",
    "others": "delete from auth.sessions where user_id = %(user)s and id <> %(session)s",
    "global": "delete from auth.sessions where user_id = %(user)s",
}


@dataclass(frozen=True, slots=True)
class Grant:
    """A session and the refresh token that carries it on."""

    session_id: uuid.UUID
    user_id: uuid.UUID
    refresh_token: str = field(repr=False)


async def begin(connection: Connection, user_id: uuid.UUID, now: datetime) -> Grant:
    """A new session."""
    session = uuid.uuid4()
    await connection.execute(_OPEN, {"session": session, "user": user_id, "now": now})
    return await _grant(connection, session, user_id, now, parent=None)


async def carry_on(connection: Connection, token: str, now: datetime) -> Grant:
    """Trade a refresh token for the next one.

    A client that did not hear our answer asks again and gets the same successor, for as long as that was not
    traded itself. An older token is taken for stolen once its reuse interval is over: then nobody carries
    that session on any more.

    Raises:
        AuthRefusal: unknown, or used before.
    """
    digest = _digest(token)
    async with connection.transaction():
        row = await (await connection.execute(_FIND, {"digest": digest})).fetchone()
        if row is None:
            raise errors.refresh_unknown()
        session, user, revoked, used_at = row
        grant = await _successor(connection, token, session, user) if revoked else None
        if grant is not None or not revoked or now - used_at <= REUSE_INTERVAL:
            await connection.execute(_USE, {"digest": digest, "now": now})
            await connection.execute(_REFRESHED, {"session": session, "now": now})
            return grant or await _grant(connection, session, user, now, parent=token)
        over = now - 2 * REUSE_INTERVAL
        await connection.execute(_REVOKE_FAMILY, {"session": session, "then": over})
    raise errors.refresh_used()


async def exists(connection: Connection, session_id: uuid.UUID, user_id: uuid.UUID) -> bool:
    """Whether the session was not signed out."""
    values = {"session": session_id, "user": user_id}
    return await (await connection.execute(_EXISTS, values)).fetchone() is not None


async def close(connection: Connection, session_id: uuid.UUID, user_id: uuid.UUID, scope: str) -> None:
    """Sign out of this session (`local`), of the `others`, or of all of them (`global`).

    Raises:
        AuthRefusal: there is no such scope.
    """
    statement = _CLOSE.get(scope)
    if statement is None:
        raise errors.invalid(f"Unsupported logout scope {json.dumps(scope[:32])}")
    await connection.execute(statement, {"session": session_id, "user": user_id})


async def _successor(connection: Connection, token: str, session: uuid.UUID, user: uuid.UUID) -> Grant | None:
    """The token this one was traded for, where that was not traded in its turn."""
    values = {"session": session, "parent": _digest(token)}
    row = await (await connection.execute(_SUCCESSOR, values)).fetchone()
    return None if row is None else Grant(session, user, _derived(token, row[0]))


async def _grant(
    connection: Connection, session: uuid.UUID, user: uuid.UUID, now: datetime, *, parent: str | None
) -> Grant:
    seed = secrets.token_bytes(32)
    token = secrets.token_urlsafe(24) if parent is None else _derived(parent, seed)
    values = {
        "digest": _digest(token),
        "session": session,
        "parent": None if parent is None else _digest(parent),
        "seed": None if parent is None else seed,
        "now": now,
    }
    await connection.execute(_ADD, values)
    return Grant(session, user, token)


def _derived(parent: str, seed: bytes) -> str:
    """A token that only who has the one before it can make again, and only with what the database keeps."""
    mac = hmac.digest(seed, parent.encode(errors="surrogatepass"), "sha256")
    return urlsafe_b64encode(mac[:24]).decode()


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode(errors="surrogatepass")).digest()
