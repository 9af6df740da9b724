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

_COPYING: Final = (pq.ExecStatus.COPY_IN, pq.ExecStatus.COPY_OUT, pq.ExecStatus.COPY_BOTH)
_DONE: Final = (pq.ExecStatus.COMMAND_OK, pq.ExecStatus.TUPLES_OK, pq.ExecStatus.EMPTY_QUERY)


def exchange(pgconn: PGconn, commands: Sequence[Command], results: list[PGresult]) -> PQGen[None]:
    """Send the commands and collect one result for each, failed and skipped ones included.

    Args:
        pgconn: An idle connection, or one inside a transaction.
        commands: Calls that each put one message into its buffer.
        results: Where they are collected as they come, so that they are known also to who gives up. If a COPY
            has begun it is the last: nothing else comes then, and the connection is of no more use.
    """
    pgconn.enter_pipeline_mode()
    for command in commands:
        command()
    pgconn.pipeline_sync()
    yield from _flush(pgconn)
    yield from _collect(pgconn, results)
    if not (results and results[-1].status in _COPYING):
        pgconn.exit_pipeline_mode()


def first_error(pgconn: PGconn, results: Sequence[PGresult]) -> pg.Error | None:
    """The error of the first command that failed, if one did."""
    for result in results:
        if result.status == pq.ExecStatus.FATAL_ERROR and result.error_field(pq.DiagnosticField.SQLSTATE):
            return pg.error_from_result(result, encoding="utf-8")
        if result.status in _COPYING:
            return pg.NotSupportedError("COPY is not for a session")
        if result.status not in _DONE:
            return pg.OperationalError("the connection is lost", pgconn=pgconn)
    return None


def _flush(pgconn: PGconn) -> PQGen[None]:
    while pgconn.flush():
        ready = yield Wait.RW
        if ready & Ready.R:
            pgconn.consume_input()


def _collect(pgconn: PGconn, results: list[PGresult]) -> PQGen[None]:
    while True:
        while pgconn.is_busy():
            if (yield Wait.R):
                pgconn.consume_input()
        result = pgconn.get_result()
        if result is None:
            if pgconn.status == pq.ConnStatus.BAD:
                return
        elif result.status == pq.ExecStatus.PIPELINE_SYNC:
            return
        else:
            results.append(result)
            if result.status in _COPYING:
                return
