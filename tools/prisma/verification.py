"""Prisma's own command line agrees with what `sba-db migrate` makes, and disagrees once something differs."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

from sba_db.bootstrap import RolePasswords, bootstrap
from sba_db.check import check
from sba_db.migrate import migrate, owner_connection
from sba_local.postgres import EmbeddedPostgres
from tools.prisma import generation
from tools.prisma.node import prisma

DATABASE = "sba"
PASSWORDS = RolePasswords(migrator="migrator", app="app", worker="worker")
SCHEMA = str(generation.SCHEMA)
MIGRATIONS = str(generation.SCHEMA.parent / "migrations")
VALID = ("validate",)
FORMATTED = ("format", "--check")
STATUS = ("migrate", "status")
DATABASE_AS_SCHEMA = ("migrate", "diff", "--from-config-datasource", "--to-schema", SCHEMA, "--exit-code")
MIGRATIONS_AS_SCHEMA = (
    "migrate", "diff", "--from-migrations", MIGRATIONS, "--to-schema", SCHEMA, "--exit-code",
)  # fmt: skip
DRIFT = "alter table service.agent_runs add column drift text"
SAME, DIFFERENT = 0, 2


def verify() -> int:
    """Ask Prisma about a fresh database and a drifted one; 1 if an answer is not the expected one."""
    with tempfile.TemporaryDirectory() as folder, EmbeddedPostgres(Path(folder) / "postgres") as postgres:
        admin, migrator = postgres.url(DATABASE), _as_migrator(postgres.url(DATABASE))
        asyncio.run(bootstrap(postgres.url(), database=DATABASE, passwords=PASSWORDS))
        asyncio.run(migrate(migrator))
        owner = f"{migrator}?options={quote('-c role=sba_owner')}"
        answers = [
            _asked(VALID, SAME, owner),
            _asked(FORMATTED, SAME, owner),
            _asked(STATUS, SAME, owner),
            _asked(DATABASE_AS_SCHEMA, SAME, owner),
            _asked(MIGRATIONS_AS_SCHEMA, SAME, admin),
            _told("sba-db check finds nothing", asyncio.run(check(migrator)) == []),
        ]
        asyncio.run(_plant(migrator))
        answers += [
            _asked(DATABASE_AS_SCHEMA, DIFFERENT, owner),
            _told("sba-db check finds the drift", len(asyncio.run(check(migrator))) == 1),
        ]
    return 0 if all(answers) else 1


def _as_migrator(url: str) -> str:
    parts = urlsplit(url)
    place = f"sba_migrator:{PASSWORDS.migrator}@{parts.hostname}:{parts.port}"
    return urlunsplit(parts._replace(netloc=place))


async def _plant(url: str) -> None:
    async with owner_connection(url) as connection:
        await connection.execute(DRIFT)


def _asked(arguments: tuple[str, ...], expected: int, url: str) -> bool:
    answer = prisma(arguments, url=url)
    return _told(
        f"prisma {' '.join(arguments[:2])} answers {answer}, expected {expected}", answer == expected
    )


def _told(what: str, passed: bool) -> bool:  # noqa: FBT001 - what it tells
    print(f"{'ok' if passed else 'FAILED'}: {what}", flush=True)
    return passed
