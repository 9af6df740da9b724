"""The commands `scan`, `audit` and `types`: checks for a pull request."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import click

from sba_supabase import audit as auditing
from sba_supabase import scan as scanning
from sba_supabase.checks.allowing import Allowance, read_allowances
from sba_supabase.checks.findings import FOUND, Report, Rule, to_text
from sba_supabase.checks.sarif import to_sarif
from sba_supabase.errors import AllowListInvalid, IntrospectionFailed
from sba_supabase.types.writing import drift, types_of, write_types

_FORMAT: Final = click.Choice(["text", "sarif"])
_PATHS: Final = click.Path(path_type=Path, exists=True)
_FILE: Final = click.Path(path_type=Path, dir_okay=False)


def _publish(report: Report, form: str, output: Path | None, tool: str, rules: Sequence[Rule]) -> None:
    """Write the report and leave with its exit code: 0 clean, 1 findings, 2 not everything was looked at."""
    text = to_text(report) if form == "text" else to_sarif(report, tool=tool, rules=rules).rstrip("\n")
    if output is None:
        click.echo(text)
    else:
        output.write_text(f"{text}\n", "utf-8")
    sys.exit(report.exit_code)


def _allowed(file: Path | None, rules: Sequence[Rule]) -> tuple[Allowance, ...]:
    """The entries of an allow-list, when there is one.

    Raises:
        UsageError: it is not valid.
    """
    try:
        return () if file is None else read_allowances(file, (rule.id for rule in rules))
    except AllowListInvalid as error:
        raise click.UsageError(f"{file}: {error}") from None


@click.command()
@click.argument("paths", nargs=-1, required=True, type=_PATHS)
@click.option("--format", "form", type=_FORMAT, default="text", show_default=True)
@click.option("--output", type=_FILE, help="Write the report to this file.")
@click.option("--allow", type=_FILE, help="A TOML list of allowed findings, each with its reason.")
@click.option("--exclude", multiple=True, metavar="PATTERN", help="Paths to leave out; `*` spans folders.")
@click.option("--server-module", multiple=True, metavar="NAME", help="Another module no client may load.")
@click.option("--keys-only", is_flag=True, help="Look for keys alone, as in a server's image.")
def scan(
    *,
    paths: tuple[Path, ...],
    form: str,
    output: Path | None,
    allow: Path | None,
    exclude: tuple[str, ...],
    server_module: tuple[str, ...],
    keys_only: bool,
) -> None:
    """Find service keys, and what only servers may hold, in what clients are served.

    Exits with 0 when nothing is found, 1 when something is, 2 when nothing is but not all could be looked at.
    """
    options = scanning.ScanOptions(
        exclude=exclude,
        allow=_allowed(allow, scanning.RULES),
        modules=(*scanning.SERVER_MODULES, *server_module),
        keys_only=keys_only,
    )
    _publish(scanning.scan(paths, options), form, output, "sba-supabase scan", scanning.RULES)


@click.command()
@click.argument("paths", nargs=-1, required=True, type=_PATHS)
@click.option("--format", "form", type=_FORMAT, default="text", show_default=True)
@click.option("--output", type=_FILE, help="Write the report to this file.")
@click.option("--allow", type=_FILE, help="A TOML list of allowed findings, each with its reason.")
@click.option("--exclude", multiple=True, metavar="PATTERN", help="Paths to leave out; `*` spans folders.")
def audit(
    *, paths: tuple[Path, ...], form: str, output: Path | None, allow: Path | None, exclude: tuple[str, ...]
) -> None:
    """Find Supabase used past sba_supabase in Python services, and say what to import instead.

    Exits with 0 when nothing is found, 1 when something is, 2 when nothing is but not all could be parsed.
    """
    options = auditing.AuditOptions(exclude=exclude, allow=_allowed(allow, auditing.RULES))
    report = auditing.audit(paths, options)
    _publish(report, form, output, "sba-supabase audit", auditing.RULES)


@click.command()
@click.option(
    "--database-url",
    envvar="SBA_MIGRATION_DATABASE_URL",
    show_envvar=True,
    required=True,
    help="A login that may connect. Better in the environment: arguments are seen by other users.",
)
@click.option("--schema", default="public", show_default=True)
@click.option("--output", type=_FILE, default=Path("types/database.py"), show_default=True)
@click.option(
    "--check", is_flag=True, help="Change nothing; exit with 1 and the difference when there is one."
)
def types(*, database_url: str, schema: str, output: Path, check: bool) -> None:
    """Generate the Python types of a database's tables, enums and functions."""
    try:
        text = asyncio.run(types_of(database_url, schema=schema))
        difference = drift(text, output)
        changed = not check and write_types(text, output)
    except (IntrospectionFailed, OSError) as error:
        raise click.ClickException(str(error)) from None
    if check and difference:
        click.echo(difference)
        sys.exit(FOUND)
    click.echo(f"{output} {'written' if changed else 'is up to date'}")
