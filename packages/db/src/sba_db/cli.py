"""`sba-db`: bootstrap, migrate, status, check, seed, retention and the audit chain from the command line."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Coroutine
from typing import Any, TextIO, TypeVar
from uuid import UUID

import click

from sba_db import anchors, partitions
from sba_db import bootstrap as bootstrapping
from sba_db import check as checking
from sba_db import migrate as migrating
from sba_db import retention as keeping
from sba_db import seed as seeding
from sba_db import verify_audit as verification
from sba_db.errors import DatabaseError

T = TypeVar("T")

_MIGRATION_URL = click.option(
    "--url", envvar="SBA_MIGRATION_DATABASE_URL", required=True, help="DSN of sba_migrator.", show_envvar=True
)


@click.group()
def main() -> None:
    """The internal tables of SBA."""


@main.command()
@click.option("--admin-url", envvar="SBA_ADMIN_DATABASE_URL", required=True, help="DSN of a superuser.")
@click.option("--database", required=True, help="Name of the database to make or complete.")
@click.option("--migrator-password", envvar="SBA_MIGRATOR_PASSWORD", required=True)
@click.option("--app-password", envvar="SBA_APP_PASSWORD", required=True)
@click.option("--worker-password", envvar="SBA_WORKER_PASSWORD", required=True)
def bootstrap(
    admin_url: str, database: str, migrator_password: str, app_password: str, worker_password: str
) -> None:
    """Make roles, the database and its extensions."""
    passwords = bootstrapping.RolePasswords(migrator_password, app_password, worker_password)
    _run(bootstrapping.bootstrap(admin_url, database=database, passwords=passwords))
    click.echo(f"{database}: ready for sba-db migrate")


@main.command()
@_MIGRATION_URL
@click.option("--dry-run", is_flag=True, help="Change nothing: list what is pending, and try it aside.")
def migrate(url: str, *, dry_run: bool) -> None:
    """Apply what is pending, or say what would be."""
    if dry_run:
        pending = _run(migrating.plan(url))
        for migration in pending:
            click.echo(f"would apply {migration.name}: {_manner(migration)}")
        click.echo(f"{len(pending)} to apply; tried on empty tables" if pending else "nothing to apply")
        return
    applied = _run(migrating.migrate(url, click.echo))
    click.echo(f"{len(applied)} applied" if applied else "nothing to apply")


@main.command()
@_MIGRATION_URL
def status(url: str) -> None:
    """List migrations; exit 1 unless all are applied and none was edited."""
    listed = _run(migrating.status(url))
    for one in listed:
        click.echo(f"{one.state:<10} {one.name}")
    sys.exit(not all(one.settled for one in listed))


@main.command()
@_MIGRATION_URL
@click.option("--read-only", is_flag=True, help="Only SELECT: do not run the migrations aside to compare.")
def check(url: str, *, read_only: bool) -> None:
    """Compare the database with schema.prisma and the migrations; exit 1 and list what differs."""
    found = _run(checking.check(url, rehearse=not read_only))
    for difference in found:
        click.echo(difference)
    click.echo(_counted(len(found), "difference") if found else "as schema.prisma and the migrations say")
    sys.exit(bool(found))


@main.command()
@_MIGRATION_URL
@click.option("--force", is_flag=True, help="Even if it does not look like a database for development.")
def seed(url: str, *, force: bool) -> None:
    """Fill a database for development with what two tenants have done; safe to repeat.

    A database says what it is for by `alter database ... set sba.environment = 'development'`; one that
    says anything else is never seeded. One that says nothing is seeded without --force only if its server is
    on this machine and it has no rows of other tenants.
    """
    added = _run(seeding.seed(url, force=force))
    for table, rows in sorted(added.items()):
        click.echo(f"{table}: {_counted(rows, 'row')} added")
    if not added:
        click.echo("nothing to add")
    for one in seeding.RESIDENTS:
        click.echo(f"{one.slug}: tenant {one.tenant_id}, user {one.user_name} {one.user_id}")


@main.command()
@_MIGRATION_URL
@click.option("--keep-months", type=int, help="Whole months to keep besides this one; all, if not given.")
@click.option("--keep", multiple=True, metavar="TABLE=MONTHS", help="For one table; agent_runs as well.")
@click.option("--ahead", type=int, default=partitions.AHEAD, show_default=True, help="Months to make ahead.")
@click.option("--dry-run", is_flag=True, help="Change nothing: list what would be done.")
def retention(url: str, *, keep_months: int | None, keep: tuple[str, ...], ahead: int, dry_run: bool) -> None:
    """Make the months ahead, drop those that are no longer kept, sweep what has expired."""
    kept = dict(map(_kept, keep))
    would = "would " if dry_run else ""

    async def work() -> list[keeping.Action]:
        policy = keeping.Policy(keep_months, kept, ahead)
        return await keeping.retention(url, policy, lambda one: click.echo(f"{would}{one}"), dry_run=dry_run)

    if not _run(work()):
        click.echo("nothing to do")


@main.command("verify-audit")
@_MIGRATION_URL
@click.option("--tenant", type=click.UUID, help="Only this tenant's chain.")
@click.option("--anchor", type=click.File(encoding="utf-8"), help="What export-anchor wrote before.")
def verify_audit(url: str, tenant: UUID | None, anchor: TextIO | None) -> None:
    """Recompute the audit chains; exit 1 and list tenant, position and kind of what does not fit."""
    heads = _parsed(anchor.read()) if anchor else {}
    done = _run(verification.verify_audit(url, click.echo, tenant=tenant, anchors=heads))
    click.echo(
        f"{_counted(done.tenants, 'tenant')}, {_counted(done.seals, 'seal')}, {done.waiting} waiting,"
        f" {_counted(done.findings, 'finding')}"
    )
    sys.exit(bool(done.findings))


@main.command("export-anchor")
@_MIGRATION_URL
@click.option(
    "--output", type=click.File("w", encoding="utf-8"), default="-", help="Where to; standard output."
)
def export_anchor(url: str, output: TextIO) -> None:
    """Write the head of each tenant's audit chain as JSON: to be kept where this database's owner is not."""
    click.echo(anchors.to_json(_run(anchors.export_anchors(url))), file=output)


def _kept(option: str) -> tuple[str, int]:
    table, _, months = option.partition("=")
    if not months.isdecimal():
        raise click.BadParameter(f"{option!r} is not TABLE=MONTHS", param_hint="--keep")
    return table, int(months)


def _parsed(text: str) -> dict[UUID, anchors.Anchor]:
    try:
        return anchors.from_json(text)
    except DatabaseError as error:
        raise click.ClickException(str(error)) from None


def _manner(migration: migrating.Migration) -> str:
    counted = _counted(len(migration.statements), "statement")
    return f"{counted}, {'in one transaction' if migration.transactional else 'each by itself'}"


def _counted(count: int, thing: str) -> str:
    return f"{count} {thing}{'' if count == 1 else 's'}"


def _run(work: Coroutine[Any, Any, T]) -> T:
    try:
        return asyncio.run(work)
    except DatabaseError as error:
        raise click.ClickException(str(error)) from None
