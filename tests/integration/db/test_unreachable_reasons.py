"""Why there is no connection is told in a few fixed words, to the caller and in the log, and nothing else."""

from __future__ import annotations

import pytest
from click.testing import CliRunner
from psycopg.conninfo import make_conninfo

from sba_db import DatabaseSettings, DatabaseUnavailable, open_database
from sba_db.cli import main
from sba_local.ports import free_port

WRONG = [
    ({"user": "nobody_here"}, "Postgres refused the login"),
    ({"dbname": "nothing_here"}, "Postgres has no such database"),
    ({"sslmode": "require"}, "Postgres and this side do not agree on TLS"),
    ({"host": "ss@nowhere.invalid"}, "the name of Postgres's host means nothing"),
    ({"options": "-c nothing_like_it=1 -c no"}, "Postgres, or a pooler before it, refused an option"),
]


@pytest.mark.parametrize(("change", "reason"), WRONG)
async def test_a_caller_is_told_what_is_wrong_and_no_word_of_the_url(database_urls, change, reason, caplog):
    settings = DatabaseSettings(url=make_conninfo(database_urls.app, **change))
    async with open_database(settings) as database:
        for _ in range(2):
            with pytest.raises(DatabaseUnavailable) as refused:
                await database.ping()

            assert str(refused.value) == reason
            assert refused.value.retry_after > 0


async def test_a_port_where_nobody_listens_is_named_so(database_urls):
    url = make_conninfo(database_urls.app, port=free_port())
    async with open_database(DatabaseSettings(url=url)) as database:
        with pytest.raises(DatabaseUnavailable, match="nothing listens"):
            await database.ready(within=0.5)


async def test_once_it_is_reached_an_old_reason_is_not_told_again(database_urls, superuser, a):
    superuser.execute(f"alter database {database_urls.name} connection limit 0")
    async with open_database(DatabaseSettings(url=database_urls.app)) as database:
        with pytest.raises(DatabaseUnavailable, match="no connection to spare"):
            await database.ping()
        superuser.execute(f"alter database {database_urls.name} connection limit -1")
        await database.ready(within=20)
        superuser.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity"
            " where usename = 'sba_app' and datname = current_database()"
        )
        await database.ready(within=20)


async def test_a_url_that_asks_for_a_server_that_takes_writes_works(database_urls):
    """Sessions are read-only unless a transaction begins otherwise: that is no standby."""
    url = make_conninfo(database_urls.app, target_session_attrs="read-write")
    async with open_database(DatabaseSettings(url=url)) as database:
        await database.ping()


@pytest.mark.parametrize("command", ["migrate", "status", "check", "retention", "verify-audit"])
def test_the_command_line_says_that_a_url_is_none_and_does_not_show_it(command):
    ran = CliRunner().invoke(main, [command, "--url", "postgresql+x://u:hunter2@h/d"])

    assert ran.exit_code == 1
    assert ran.output == "Error: url: not a Postgres connection string\n"
