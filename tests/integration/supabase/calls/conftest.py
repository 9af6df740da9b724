"""A project to call, clients of its users, and guards that do not wait."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import pytest
from pydantic import SecretStr

from sba_supabase import CallRules, Guards, Pool, create_server_client, set_tenant_context
from tests.integration.local.gateway.standing import ANON, standing


@dataclass(frozen=True)
class Settings:
    url: str
    anon_key: SecretStr


@pytest.fixture
async def project(blank_database, tmp_path):
    async with standing(blank_database.admin, blank_database.migrator, tmp_path) as project:
        yield project


@pytest.fixture
async def pool():
    async with Pool() as pool:
        yield pool


@pytest.fixture
def guards():
    return Guards(CallRules(deadline=20.0))


@pytest.fixture
def enter(project, pool):
    """A client in a new tenant of its own, or in a given one."""

    async def make(role="member", *, token=None, tenant=None):
        if token is None:
            tenant, token = await project.member(role)
        settings = Settings(project.url, SecretStr(ANON))
        client = await create_server_client(settings, pool=pool, bearer=token, clock=project.clock)
        return await set_tenant_context(client, tenant)

    return make


@pytest.fixture
async def hanging():
    """A handler that answers once the test is over."""
    over = asyncio.Event()

    async def hang(_call):
        await over.wait()

    yield hang
    over.set()


@pytest.fixture
def unplugged(project):
    """Stop the project."""
    return project.stop


@pytest.fixture
async def nobody(project, pool):
    """A client that entered no tenant."""
    return await create_server_client(Settings(project.url, SecretStr(ANON)), pool=pool)
