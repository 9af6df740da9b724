"""Every error of the driver becomes one of ours, without what its message carried."""

from __future__ import annotations

import inspect
import re

import psycopg
import pytest

import sba_db
from sba_db import errors, failures
from sba_db.errors import (
    AccessDenied,
    DatabaseError,
    DatabaseTimeout,
    DatabaseUnavailable,
    InvalidValue,
    MembershipDenied,
    StatementFailed,
    TransactionConflict,
)

CODES = [
    ("08006", DatabaseUnavailable),
    ("28P01", DatabaseUnavailable),
    ("3D000", DatabaseUnavailable),
    ("53300", DatabaseUnavailable),
    ("57P01", DatabaseUnavailable),
    ("57P02", DatabaseUnavailable),
    ("57P03", DatabaseUnavailable),
    ("57014", DatabaseTimeout),
    ("55P03", DatabaseTimeout),
    ("25P03", DatabaseTimeout),
    ("40001", TransactionConflict),
    ("40P01", TransactionConflict),
    ("42501", AccessDenied),
    ("22021", InvalidValue),
    ("22P05", InvalidValue),
    ("22003", InvalidValue),
    ("42601", StatementFailed),
    ("42P01", StatementFailed),
    ("53200", StatementFailed),
    ("XX000", StatementFailed),
]


@pytest.mark.parametrize(("code", "kind"), CODES)
def test_a_server_error_is_told_apart_by_its_code(code, kind):
    raised = psycopg.errors.lookup(code)("the value 'secret' of DSN postgresql://u:p@h")

    translated = failures.translate(raised)

    assert type(translated) is kind
    assert "secret" not in str(translated)


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ('FATAL:  password authentication failed for user "x"', "Postgres refused the login"),
        ('FATAL:  no pg_hba.conf entry for host "h"', "Postgres refused the login"),
        ('FATAL:  role "hunter2" does not exist', "Postgres refused the login"),
        ('FATAL:  database "hunter2" does not exist', "Postgres has no such database"),
        ("FATAL:  sorry, too many clients already", "Postgres has no connection to spare"),
        ("FATAL:  remaining connection slots are reserved", "Postgres has no connection to spare"),
        ("FATAL:  the database system is starting up", "Postgres is starting or stopping"),
        ("server does not support SSL, but SSL was required", "Postgres and this side do not agree on TLS"),
        ("connecting took too long", "Postgres did not answer in time"),
        ("connection refused", "nothing listens where Postgres should be"),
        ("hunter2", "Postgres is not reachable"),
        ("", "Postgres is not reachable"),
    ],
)
def test_why_there_is_no_connection_is_told_in_words_of_ours(said, told):
    assert str(failures.translate(psycopg.OperationalError(said))) == told


def test_a_lost_connection_has_no_code_and_is_unavailable():
    assert isinstance(failures.translate(psycopg.OperationalError("gone")), DatabaseUnavailable)


def test_a_defect_the_driver_finds_is_a_failed_statement():
    translated = failures.translate(psycopg.ProgrammingError("cannot adapt 'secret'"))

    assert isinstance(translated, StatementFailed)
    assert translated.sqlstate is None
    assert "secret" not in str(translated)


def test_the_guards_code_is_a_denied_membership():
    class Refused(psycopg.Error):
        sqlstate = "SB403"

    assert isinstance(failures.translate(Refused()), MembershipDenied)


def test_the_tree_in_the_docstring_is_the_tree_of_the_classes():
    drawn: dict[str, str] = {}
    path: list[str] = []
    for line in (errors.__doc__ or "").splitlines()[2:]:
        found = re.match(r"(?P<lines>[│├└─ ]*)(?P<name>[A-Z]\w+)", line)
        if found:
            depth = len(found["lines"]) // 4
            path[depth:] = [found["name"]]
            drawn[found["name"]] = path[depth - 1] if depth else "Exception"
    classes = {
        name: kind.__base__.__name__
        for name, kind in inspect.getmembers(errors, inspect.isclass)
        if issubclass(kind, DatabaseError)
    }

    assert drawn == classes


def test_what_is_exported_is_what_is_declared_and_sorted():
    modules = {
        "agent_runs",
        "agent_steps",
        "audit_logs",
        "run_events",
        "system_health",
        "tool_calls",
        "usage_metrics",
    }

    assert len(sba_db.__all__) == len(set(sba_db.__all__))
    assert modules <= set(sba_db.__all__)
    for name in sba_db.__all__:
        assert getattr(sba_db, name) is not None
    for name, kind in inspect.getmembers(errors, inspect.isclass):
        assert not issubclass(kind, DatabaseError) or name in sba_db.__all__
