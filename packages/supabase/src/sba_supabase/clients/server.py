"""The client of one request to a server, acting as whoever sent it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

from pydantic import ValidationError
from supabase_auth import AsyncSupportedStorage
from supabase_auth.types import AuthChangeEvent, Session

from sba_supabase.auth.cookies import CookieJar, CookieOptions, cookie_name
from sba_supabase.auth.sessions import MARGIN, StoredSession, is_token, parse_session, read_session, refresh
from sba_supabase.clients.client import Client, Options, options_for, public_key
from sba_supabase.errors import SessionUnavailable, TokenMalformed
from sba_supabase.settings import PublicProject
from sba_supabase.transport import Loan, Pool

_SIGNED_OUT: Final = "SIGNED_OUT"


class ServerClient(Client):
    """A `Client` for one request, whose session is in the request's cookies or in its bearer token.

    What it says of its user is what the browser sent: nothing is verified here. The project verifies the
    token with every call; a server that decides by it verifies it first (`TokenVerifier`).

    Args:
        url: the project's address.
        key: its public key.
        options: with the HTTP client of the loan.
        loan: the connections.
        jar: the cookies of the request.
    """

    def __init__(self, url: str, key: str, options: Options, loan: Loan, jar: CookieJar) -> None:
        self._jar = jar
        self._cookie = options.storage_key
        super().__init__(url, key, options, loan)
        self.auth.on_auth_state_change(self._store)

    @property
    def access_token(self) -> str | None:
        """The token each request carries, None for nobody's."""
        token = self.options.headers["Authorization"].removeprefix("Bearer ")
        return None if token == self.supabase_key else token

    def response_headers(self) -> list[tuple[str, str]]:
        """What the response must carry: cookies to set or forget, and then that no cache keeps it.

        Ask when the request has been answered: a sign-in, a refresh or a sign-out adds to it.

        Returns:
            Name and value of each, empty when nothing changed.
        """
        return self._jar.headers()

    def _store(self, event: AuthChangeEvent, session: Session | None) -> None:
        if event == _SIGNED_OUT:
            self._jar.remove(self._cookie)
        elif session is not None:
            members = session.model_dump(mode="json", exclude_none=True)
            stored = read_session(members)
            if stored is not None:
                self._jar.write(self._cookie, stored.text())


class _Verifiers(AsyncSupportedStorage):
    """Where the sign-in client keeps its PKCE verifier: a cookie of the shape that JavaScript's reads.

    Args:
        jar: the cookies of the request.
    """

    def __init__(self, jar: CookieJar) -> None:
        self._jar = jar

    async def get_item(self, key: str) -> str | None:
        text = self._jar.read(key)
        return text.strip('"') if text else None

    async def set_item(self, key: str, value: str) -> None:
        self._jar.write(key, f'"{value}"')

    async def remove_item(self, key: str) -> None:
        self._jar.remove(key)


async def create_server_client(
    project: PublicProject,
    *,
    pool: Pool,
    cookies: Mapping[str, str] | None = None,
    bearer: str | None = None,
    cookie_options: CookieOptions | None = None,
    clock: Callable[[], float] = time.time,  # noqa: TID251 - sessions end by the wall clock; tests pass their own
) -> ServerClient:
    """A client for one request, acting as its user, or as nobody when it brings no session.

    A session that has ended, or will within 30 s, is refreshed first; requests that bring the same one at the
    same time cause one refresh. A session that cannot be refreshed any more is forgotten; one that cannot be
    refreshed now goes on to its end.

    Args:
        project: `PublicSettings`, or any settings with a public key; never one with a secret key alone.
        pool: connections, one pool for the whole server.
        cookies: the request's cookies by name.
        bearer: the token of its Authorization header; with one, cookies are not looked at.
        cookie_options: where the cookies it sets are valid.
        clock: the wall clock, in seconds since the epoch.

    Raises:
        SessionUnavailable: the session has ended and cannot be refreshed now: 503.
        TokenMalformed: the bearer is no token.
        SettingsError: the project has no public key.

    Example:
        >>> client = await create_server_client(settings, pool=pool, cookies=request.cookies)
        ... mine = await set_tenant_context(client, tenant_id)
        ... documents = await mine.table("documents").select("id, title").execute()
        ... for name, value in client.response_headers():
        ...     response.headers.append(name, value)
    """
    key, loan = public_key(project), pool.lend(project.url)
    options = cookie_options or CookieOptions()
    name = options.name or cookie_name(project.url)
    jar = CookieJar({} if bearer is not None else cookies or {}, replace(options, name=name))
    now = clock()
    session = await _session(jar, name, project.url, key=key, pool=pool, loan=loan, now=now)
    token = _bearer(bearer) if bearer is not None else session and session.access_token
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    settings = options_for(loan, headers, storage=_Verifiers(jar), storage_key=name)
    client = ServerClient(project.url, key, settings, loan, jar)
    _adopt(client, session, now)
    return client


def _bearer(text: str) -> str:
    if not is_token(text):
        raise TokenMalformed
    return text


async def _session(
    jar: CookieJar, name: str, url: str, *, key: str, pool: Pool, loan: Loan, now: float
) -> StoredSession | None:
    """The session of the cookies, fresh, None when there is none or it has ended for good."""
    session = parse_session(jar.read(name))
    if session is None or not session.ends_before(now + MARGIN):
        return session
    token = session.refresh_token
    try:
        fresh = await pool.flights.join(
            f"{url} {token}", lambda: refresh(loan.http(), url, key=key, refresh_token=token, now=now)
        )
    except SessionUnavailable:
        if session.ends_before(now):
            raise
        return session
    if fresh is None:
        jar.remove(name)
    else:
        jar.write(name, fresh.text())
    return fresh


def _adopt(client: ServerClient, session: StoredSession | None, now: float) -> None:
    """Let the sign-in client know of the session, if it tells enough of its user.

    JavaScript stores parts of seconds, and may store no more than when the session ends.
    """
    if session is None:
        return
    ends = int(session.expires_at)
    members = {"token_type": "bearer", **session.members, "expires_at": ends, "expires_in": ends - int(now)}
    try:
        client.acts_as(Session.model_validate(members))
    except ValidationError:
        return
