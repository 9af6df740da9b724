"""``auth:refresh``."""

from __future__ import annotations

from pydantic import BaseModel, SecretStr

from sba_ws.client import Client
from sba_ws.commands import Answer, parse
from sba_ws.errors import Refused
from sba_ws.handshake import Handshake
from sba_ws.sessions import Sessions


class RefreshRequest(BaseModel):
    """``{token}``: the same user's new token."""

    token: SecretStr


class AuthCommands:
    """Staying connected beyond the end of a token.

    Args:
        handshake: Judges the new token as it judged the first.
        sessions: Follow its end.
    """

    def __init__(self, *, handshake: Handshake, sessions: Sessions) -> None:
        self._handshake = handshake
        self._sessions = sessions

    async def refresh(self, client: Client, payload: object) -> Answer:
        """Take a new token for the same user and tenant; a refused one leaves everything as it was."""
        token = parse(RefreshRequest, payload).token.get_secret_value()
        admission = await self._handshake.identify(token, client.chosen_tenant)
        if admission.principal.user_id != client.user_id:
            raise Refused("user_mismatch", "the token is another user's")
        if admission.tenant_id != client.tenant_id:
            raise Refused("tenant_mismatch", "the token is for another tenant")
        if not client.connected:
            raise Refused("not_connected", "this socket is not connected")
        client.expires_at = admission.principal.expires_at
        self._sessions.start(client)
        return {}
