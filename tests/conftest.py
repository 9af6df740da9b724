"""Real engines for every test: embedded by default, or whichever the environment names."""

from __future__ import annotations

from tests.fixtures.databases import (
    blank_database,
    database,
    database_urls,
    migrated_template,
    tenants,
)
from tests.fixtures.engines import engines, redis_url

__all__ = [
    "blank_database",
    "database",
    "database_urls",
    "engines",
    "migrated_template",
    "redis_url",
    "tenants",
]
