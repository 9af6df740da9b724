"""Several statements in one round trip: sent together, ended by one Sync, answered together.

Without an explicit BEGIN among them they are one implicit transaction: the first that fails keeps the rest
from running. Nothing follows the Sync, because a Flush after it would switch off the server's idle timeout.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from psycopg import errors as pg
from psycopg import pq
from psycopg.abc import PQGen
from psycopg.pq.abc import PGconn, PGresult
from psycopg.waiting import Ready, Wait

Command = Callable[[], None]

_DONE: Final = (pq.ExecStatus.COMMAND_OK, pq.ExecStatus.TUPLES_OK, pq.ExecStatus.EMPTY_QUERY)


def exchange(pgconn: PGconn, commands: Sequence[Command]) -> PQGen[list[PGresult]]:
    """Send the commands and collect one result for each, failed and skipped ones included.

    Args:
        pgconn: An idle connection, or one inside a transaction.
        commands: Calls that each put one message into its buffer.
    """
    pgconn.enter_pipeline_mode()
    for command in commands:
        command()
    pgconn.pipeline_sync()
    yield from _flush(pgconn)
    results = yield from _collect(pgconn)
    pgconn.exit_pipeline_mode()
    return results


def first_error(pgconn: PGconn, results: Sequence[PGresult]) -> pg.Error | None:
    """The error of the first command that failed, if one did."""
    for result in results:
        if result.status == pq.ExecStatus.FATAL_ERROR and result.error_field(pq.DiagnosticField.SQLSTATE):
            return pg.error_from_result(result, encoding="utf-8")
        if result.status not in _DONE:
            return pg.OperationalError("the connection is lost", pgconn=pgconn)
    return None


def _flush(pgconn: PGconn) -> PQGen[None]:
    while pgconn.flush():
        ready = yield Wait.RW
        if ready & Ready.R:
            pgconn.consume_input()


def _collect(pgconn: PGconn) -> PQGen[list[PGresult]]:
    results: list[PGresult] = []
    while True:
        while pgconn.is_busy():
            if (yield Wait.R):
                pgconn.consume_input()
        result = pgconn.get_result()
        if result is None:
            if pgconn.status == pq.ConnStatus.BAD:
                return results
        elif result.status == pq.ExecStatus.PIPELINE_SYNC:
            return results
        else:
            results.append(result)
