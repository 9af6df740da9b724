"""The real factory on real engines, and an issuer that signs what a test asks for."""

from __future__ import annotations

import asyncio
import json
import threading
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.routing import Match

from sba_api.app import create_app
from sba_api.schemas import ProblemDocument
from sba_api.settings import ApiSettings
from tests.fixtures.databases import Tenant, Urls

FAR = 4_000_000_000
KID = "test-key"
DEADLINE = 30


class Issuer:
    """Publishes a key set and signs tokens with it."""

    def __init__(self) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.asked = 0
        self.healthy = True
        document = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(self.key.public_key()))
        self.document = json.dumps(
            {"keys": [{**document, "kid": KID, "alg": "ES256", "use": "sig"}]}
        ).encode()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def _handler(issuer: Issuer) -> type[BaseHTTPRequestHandler]:  # noqa: N805 - the handler has its own self
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                issuer.asked += 1
                found = issuer.healthy and self.path == "/auth/v1/.well-known/jwks.json"
                self.send_response(200 if found else 503)
                self.send_header("Content-Type", "application/json")
                self.end_headers()
                self.wfile.write(issuer.document if found else b"{}")

            def log_message(self, *_: object) -> None:
                pass

        return Handler

    def claims(self, user: uuid.UUID, tenant: uuid.UUID | None, **changes: Any) -> dict[str, Any]:
        return {
            "iss": f"{self.url}/auth/v1",
            "aud": "authenticated",
            "sub": str(user),
            "role": "authenticated",
            "iat": 1_700_000_000,
            "exp": FAR,
            "app_metadata": {"tenant_id": str(tenant)} if tenant else {},
            **changes,
        }

    def token(self, user: uuid.UUID, tenant: uuid.UUID | None, **changes: Any) -> str:
        return jwt.encode(self.claims(user, tenant, **changes), self.key, "ES256", headers={"kid": KID})

    def headers(self, tenant: Tenant) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token(tenant.user, tenant.id)}"}

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture(scope="session")
def signing() -> Iterator[Issuer]:
    made = Issuer()
    yield made
    made.close()


@pytest.fixture
def issuer(signing: Issuer) -> Issuer:
    signing.healthy = True
    return signing


@pytest.fixture
def settings(database_urls: Urls, redis_url: str, issuer: Issuer) -> ApiSettings:
    return ApiSettings(
        database_url=database_urls.app,
        redis_url=redis_url,
        url=issuer.url,
        address_limit=1_000_000,
        tenant_limit=1_000_000,
        user_limit=1_000_000,
        run_limit=1_000_000,
        document_limit=1_000_000,
        search_limit=1_000_000,
        tool_limit=1_000_000,
    )


def v1_routes(app: FastAPI) -> list[tuple[str, APIRoute]]:
    """Each operation of the API proper."""
    routes = [route for route in app.routes if isinstance(route, APIRoute) and route.path.startswith("/v1/")]
    return [(method, route) for route in routes for method in sorted(route.methods)]


async def keep_contract(app: FastAPI, answer: httpx.Response) -> None:
    """Every answer is what the OpenAPI document says it is."""
    await answer.aread()
    if answer.status_code >= 400:
        assert answer.headers["content-type"] == "application/problem+json"
        problem = ProblemDocument.model_validate(answer.json())
        assert problem.status == answer.status_code
        assert problem.request_id == answer.headers["x-request-id"]
        return
    scope = {"type": "http", "method": answer.request.method, "path": answer.request.url.path, "headers": []}
    for _, route in v1_routes(app):
        if route.matches(dict(scope))[0] is Match.FULL and route.response_model is not None:
            route.response_model.model_validate_json(answer.content)
            assert answer.status_code == (route.status_code or 200)
            return


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Ask again until it holds; what is waited for happens in another process."""
    async with asyncio.timeout(DEADLINE):
        while not await condition():  # noqa: ASYNC110 - another process sets no event here
            await asyncio.sleep(0.05)


@asynccontextmanager
async def serving(settings: ApiSettings) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the app as it ships, its lifespan running."""
    app = create_app(settings)

    async def check(answer: httpx.Response) -> None:
        if answer.request.url.path.startswith("/v1/"):
            await keep_contract(app, answer)

    transport = httpx.ASGITransport(app, raise_app_exceptions=True)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(
            transport=transport, base_url="http://api.test", event_hooks={"response": [check]}
        ) as client,
    ):
        yield client


@pytest.fixture
async def api(settings: ApiSettings) -> AsyncIterator[httpx.AsyncClient]:
    async with serving(settings) as client:
        yield client


@pytest.fixture
def acme(issuer: Issuer, tenants: tuple[Tenant, Tenant]) -> dict[str, str]:
    """Headers of a member of the first tenant."""
    return issuer.headers(tenants[0])


@pytest.fixture
def globex(issuer: Issuer, tenants: tuple[Tenant, Tenant]) -> dict[str, str]:
    """Headers of a member of the second tenant."""
    return issuer.headers(tenants[1])
