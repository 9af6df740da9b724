"""An issuer of tokens on loopback, and a project that counts what it is asked."""

from __future__ import annotations

import asyncio
import json
import re
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

from sba_supabase import AuthSettings, KeySet

_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)


class Issuer:
    """A key, the set that publishes it, and tokens signed with it."""

    def __init__(self) -> None:
        self.private = ec.generate_private_key(ec.SECP256R1())
        self.public = jwt.PyJWK(self.published(), "ES256")
        self.url = ""
        self.hits = 0
        self.hangs = False

    def published(self) -> dict[str, object]:
        """The public half."""
        members = json.loads(ECAlgorithm.to_jwk(self.private.public_key()))
        return {**members, "kid": "k1", "alg": "ES256", "use": "sig"}

    @property
    def settings(self) -> AuthSettings:
        """What its tokens are held to."""
        return AuthSettings(issuer="http://127.0.0.1/auth/v1", jwks_url=self.url)

    def token(self, kid: str = "k1") -> str:
        """A token of a user's session, as Supabase Auth writes them."""
        now = int(time.time())  # noqa: TID251 - a token's dates are wall-clock
        claims = {
            "iss": "http://127.0.0.1/auth/v1",
            "aud": "authenticated",
            "sub": str(uuid.uuid4()),
            "exp": now + 3600,
            "iat": now,
            "role": "authenticated",
            "aal": "aal1",
            "session_id": str(uuid.uuid4()),
            "email": "someone@example.com",
            "app_metadata": {"provider": "email", "tenant_id": str(uuid.uuid4())},
            "user_metadata": {},
        }
        return jwt.encode(claims, self.private, "ES256", headers={"kid": kid})

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Publish the key set once and close, or say nothing at all."""
        await reader.readuntil(b"\r\n\r\n")
        self.hits += 1
        if self.hangs:
            await reader.read()  # until the other side gives up
            writer.close()
            return
        body = json.dumps({"keys": [self.published()]}).encode()
        writer.write(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
        await writer.drain()
        writer.close()
        await writer.wait_closed()


@asynccontextmanager
async def open_issuer() -> AsyncIterator[tuple[Issuer, KeySet]]:
    """An issuer on loopback, and its keys."""
    issuer = Issuer()
    server = await asyncio.start_server(issuer.answer, "127.0.0.1", 0)
    issuer.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/jwks.json"
    async with server, httpx.AsyncClient(trust_env=False) as http:
        keys = KeySet(issuer.url, http=http)
        yield issuer, keys
        await keys.aclose()


class CountingProject:
    """Answers every request with an empty list, and counts them."""

    def __init__(self) -> None:
        self.requests = 0
        self.url = ""

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request after the other, as long as the connection lasts."""
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = _LENGTH.search(head)
                await reader.readexactly(int(length[1]) if length else 0)
                self.requests += 1
                writer.write(
                    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n[]"
                )
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()


@asynccontextmanager
async def open_project() -> AsyncIterator[CountingProject]:
    """Such a project on loopback."""
    project = CountingProject()
    server = await asyncio.start_server(project.answer, "127.0.0.1", 0)
    project.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server:
        yield project
