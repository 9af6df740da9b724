"""The private and lesser-known hooks of psycopg that the data layer stands on."""

from __future__ import annotations

import inspect

import psycopg
from psycopg import AsyncClientCursor, AsyncConnection, adapt, errors, pq, waiting

from sba_db.connection import Connection, DirectConnection


def names(function) -> list[str]:
    return list(inspect.signature(function).parameters)


def test_every_exchange_of_a_connection_passes_through_wait():
    assert names(AsyncConnection.wait) == ["self", "gen", "interval", "timeout"]
    assert names(Connection.wait) == names(AsyncConnection.wait)


def test_waiting_takes_a_limit_and_raises_its_own_timeout():
    assert names(waiting.wait_async)[:4] == ["gen", "fileno", "interval", "timeout"]
    assert issubclass(errors._WaitTimeout, psycopg.OperationalError)


def test_a_connection_is_made_of_a_pgconn_and_a_row_factory():
    assert names(AsyncConnection.__init__)[:3] == ["self", "pgconn", "row_factory"]
    assert names(DirectConnection.__init__)[:3] == ["self", "pgconn", "row_factory"]


def test_a_running_query_can_be_cancelled_with_a_limit():
    assert "timeout" in names(AsyncConnection.cancel_safe)


def test_a_transformer_dumps_parameters_and_loads_rows():
    assert {"dump_sequence", "set_pgresult", "load_rows", "types", "formats"} <= set(dir(adapt.Transformer))


def test_the_wire_speaks_pipelines_and_prepared_statements():
    wanted = {
        "enter_pipeline_mode",
        "exit_pipeline_mode",
        "pipeline_sync",
        "send_prepare",
        "send_query_prepared",
        "send_query_params",
        "encrypt_password",
    }

    assert wanted <= set(dir(pq.PGconn))


def test_a_client_cursor_writes_a_statement_out_and_a_cursor_finds_its_last_result():
    assert "mogrify" in dir(AsyncClientCursor)
    assert "set_result" in dir(AsyncClientCursor)


def test_an_error_is_made_of_a_result():
    assert names(errors.error_from_result)[:2] == ["result", "encoding"]
