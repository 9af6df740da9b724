"""A stand-in for each test."""

from __future__ import annotations

import pytest

from tests.integration.local.gateway.standing import standing


@pytest.fixture
async def project(blank_database, tmp_path):
    """A migrated database and the whole stand-in before it."""
    async with standing(blank_database.admin, blank_database.migrator, tmp_path) as project:
        yield project
