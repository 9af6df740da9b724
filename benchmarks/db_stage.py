"""A Postgres with two migrated databases: one that holds few runs, and one that holds many; few failed."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql
from stage import as_login

import sba_agents.jobs
import sba_supabase.migrate
from sba_db.bootstrap import RolePasswords, bootstrap
from sba_db.migrate import migrate
from sba_local.postgres import EmbeddedPostgres

TENANTS = 200
FEW = 10_000
MEMORY = {"shared_buffers": "512MB", "max_wal_size": "4GB", "checkpoint_timeout": "1h"}
KNOWN = 500  # ids of one tenant that are read

TENANT_ROWS = "insert into public.tenants (id, slug, name) select id, id::text, 'Bench' from unnest(%s) as id"
MEMBER_ROWS = """
insert into public.memberships (tenant_id, user_id, role) select id, id, 'member' from unnest(%s) as id
"""
RUN_ROWS = """
insert into service.agent_runs (
    tenant_id, id, user_id, status, prompt, options, result, attempt, lease_token, step_seq, event_seq,
    duration_ms, created_at, started_at, finished_at
)
select (%(tenants)s::uuid[])[1 + n %% %(count)s], uuidv7(ago), (%(tenants)s::uuid[])[1 + n %% %(count)s],
       'succeeded', 'How do I return an order that I bought as a gift, number ' || n || '?',
       '{"language": "en"}', jsonb_build_object('text', 'Within thirty days, with the receipt.', 'n', n),
       1, 1, 3, 8, 900, now() + ago, now() + ago, now() + ago
from generate_series(0, %(rows)s - 1) as n,
     lateral (select make_interval(secs => (n - %(rows)s) * 0.25) as ago) as moment
"""
FAILED = 3  # runs of each tenant, older than all others
FAILED_ROWS = """
insert into service.agent_runs (tenant_id, id, user_id, status, prompt, error, attempt, finished_at)
select id, uuidv7(interval '-1 year'), id, 'failed', 'Is it on its way?', '{"code": "timeout"}', 1, now()
from unnest(%s) as id, generate_series(1, %s)
"""
IDS = "select id from service.agent_runs where tenant_id = %s order by random() limit %s"


@dataclass(frozen=True, slots=True)
class Shelf:
    """A database with runs in it.

    Attributes:
        admin: DSN of the superuser.
        app: DSN of the application's login.
        tenants: Whose runs; each is its own only member.
        ids: Some runs of the first tenant.
    """

    admin: str
    app: str
    tenants: list[uuid.UUID]
    ids: list[uuid.UUID]


@contextmanager
def shelves(root: Path, rows: int) -> Iterator[tuple[Shelf, Shelf]]:
    """The database of few runs and the one of `rows`, on a Postgres of their own."""
    with EmbeddedPostgres(root / "postgres", throwaway=True, settings=MEMORY) as postgres:
        yield stocked(postgres, "few", FEW), stocked(postgres, "many", rows)


def stocked(postgres: EmbeddedPostgres, name: str, rows: int) -> Shelf:
    """A migrated database with so many runs of two hundred tenants."""
    admin = postgres.url(name)
    asyncio.run(migrated(postgres.url(), name, admin))
    tenants = [uuid.uuid4() for _ in range(TENANTS)]
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute(TENANT_ROWS, (tenants,))
        connection.execute(MEMBER_ROWS, (tenants,))
        connection.execute(RUN_ROWS, {"tenants": tenants, "count": TENANTS, "rows": rows})
        connection.execute(FAILED_ROWS, (tenants, FAILED))
        connection.execute(sql.SQL("vacuum (analyze) service.agent_runs"))
        ids = [found for (found,) in connection.execute(IDS, (tenants[0], KNOWN))]
        connection.execute("checkpoint")
    return Shelf(admin, as_login(admin, "sba_app", "app"), tenants, ids)


async def migrated(server: str, name: str, admin: str) -> None:
    """Make the database, with the queue."""
    await bootstrap(
        server, database=name, passwords=RolePasswords(migrator="migrator", app="app", worker="worker")
    )
    migrator = as_login(admin, "sba_migrator", "migrator")
    await sba_supabase.migrate.ensure_platform_roles(admin)
    await migrate(migrator)
    await sba_supabase.migrate.migrate(migrator)
    await sba_agents.jobs.install(migrator)
