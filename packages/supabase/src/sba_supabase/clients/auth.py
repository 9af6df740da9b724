"""Supabase's sign-in client, with the two doors that a client per request needs."""

from __future__ import annotations

from supabase._async.auth_client import AsyncSupabaseAuthClient  # noqa: TID251 - this package is where it is used
from supabase_auth.types import Session

from sba_supabase.errors import AdminSession


class SessionAuth(AsyncSupabaseAuthClient):
    """Takes over a session it did not sign in to itself."""

    def adopt(self, session: Session) -> None:
        """Act in this session, without asking anyone whether it is good."""
        self._in_memory_session = session

    def stop(self) -> None:
        """Refresh the session no more."""
        if self._refresh_token_timer is not None:
            self._refresh_token_timer.cancel()
            self._refresh_token_timer = None


class AdminAuth(SessionAuth):
    """Administers users and never becomes one of them."""

    def adopt(self, session: Session) -> None:
        """Refuse.

        Raises:
            AdminSession: always.
        """
        del session
        raise AdminSession

    async def _save_session(self, session: Session) -> None:
        self.adopt(session)
