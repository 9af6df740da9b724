"""The film database of PostgREST's documentation, served to callers whose tokens are known."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psycopg
import pytest
from psycopg import sql

import sba_supabase.migrate
from sba_local.supabase.rest import RestApp, RestSettings, ensure_authenticator
from tests.fixtures.databases import admin, drop, fresh_name, urls_of
from tests.fixtures.engines import Engines

FILMS = Path(__file__).with_name("films.sql").read_text("utf-8")
PASSWORD = "authenticator-pw"
USER_A = "00000000-0000-0000-0000-00000000000a"
USER_B = "00000000-0000-0000-0000-00000000000b"


def token(subject: str) -> str:
    """Something shaped like a signed token; the gate of these tests knows it by heart."""
    parts = ({"alg": "none"}, {"sub": subject}, {"signature": "none"})
    return ".".join(
        base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts
    )


IDENTITIES = {
    "sb_publishable_test": ("anon", {}),
    "sb_secret_test": ("service_role", {}),
    token(USER_A): ("authenticated", {"sub": USER_A}),
    token(USER_B): ("authenticated", {"sub": USER_B}),
}


class Gate:
    """Says who calls, as the gateway does once it has verified a token."""

    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send):
        headers = dict(scope["headers"])
        bearer = headers.get(b"authorization", b"").decode().removeprefix("Bearer ")
        key = bearer or headers.get(b"apikey", b"").decode()
        role, claims = IDENTITIES[key]
        await self.app({**scope, "state": {"role": role, "claims": claims}}, receive, send)


@pytest.fixture(scope="session")
def films_template(engines: Engines) -> Iterator[str]:
    name = fresh_name()
    asyncio.run(sba_supabase.migrate.ensure_platform_roles(engines.admin_url))
    admin(engines.admin_url, sql.SQL("create database {}").format(sql.Identifier(name)))
    with psycopg.connect(urls_of(engines.admin_url, name).admin, autocommit=True) as connection:
        connection.execute(FILMS)
        connection.execute("analyze")
    yield name
    drop(engines.admin_url, name)


@dataclass(frozen=True)
class Films:
    """One copy of the database."""

    admin: str = field(repr=False)
    url: str = field(repr=False)

    def run(self, statement: str) -> list[tuple]:
        """Run something as its owner."""
        with psycopg.connect(self.admin, autocommit=True) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []


def clone(engines: Engines, template: str) -> Iterator[Films]:
    """A copy, removed afterwards."""
    name = fresh_name()
    statement = sql.SQL("create database {} template {}")
    admin(engines.admin_url, statement.format(sql.Identifier(name), sql.Identifier(template)))
    owner = urls_of(engines.admin_url, name).admin
    yield Films(owner, asyncio.run(ensure_authenticator(owner, PASSWORD)))
    drop(engines.admin_url, name)


@pytest.fixture
def films(engines: Engines, films_template: str) -> Iterator[Films]:
    yield from clone(engines, films_template)


@pytest.fixture(scope="session")
def kept_films(engines: Engines, films_template: str) -> Iterator[Films]:
    yield from clone(engines, films_template)


@pytest.fixture
def shared_films(kept_films: Films) -> Films:
    """A copy for tests that only read; its login is the server's, and other tests give it other passwords."""
    asyncio.run(ensure_authenticator(kept_films.admin, PASSWORD))
    return kept_films


@pytest.fixture
def settings() -> RestSettings:
    return RestSettings()


@pytest.fixture
async def app(films: Films, settings: RestSettings) -> AsyncIterator[RestApp]:
    async with RestApp(films.url, settings=settings) as app:
        yield app


def client_of(app: RestApp, key: str) -> httpx.AsyncClient:
    """Somebody who calls."""
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(Gate(app)),
        base_url="http://test/rest/v1",
        headers={"Authorization": f"Bearer {key}"},
    )


@pytest.fixture
async def rest(app: RestApp) -> AsyncIterator[httpx.AsyncClient]:
    """The service's own client."""
    async with client_of(app, "sb_secret_test") as client:
        yield client


@pytest.fixture
async def anonymous(app: RestApp) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(app, "sb_publishable_test") as client:
        yield client


@pytest.fixture
async def user(app: RestApp) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(app, token(USER_A)) as client:
        yield client
