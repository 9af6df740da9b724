"""The error table: each library error has one answer, and none of them tells internals."""

import inspect
import uuid

import pytest

from sba_agents import errors as agents
from sba_api.problems import INTERNAL, TABLE, Problem, problem_answer, problem_of, unauthorized
from sba_db import errors as db
from sba_resilience import errors as resilience
from sba_supabase import errors as supabase

RUN = uuid.uuid4()


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (db.DatabaseUnavailable(retry_after=2.2), 503, "database_unavailable"),
        (db.PoolExhausted(), 503, "database_unavailable"),
        (db.DatabaseTimeout(), 503, "database_unavailable"),
        (db.TransactionConflict(), 503, "database_unavailable"),
        (db.MembershipDenied(), 403, "not_a_member"),
        (db.RunNotFound(RUN), 404, "run_not_found"),
        (db.IdempotencyConflict("run"), 409, "idempotency_conflict"),
        (db.InvalidTransition(RUN, status="failed", action="cancel"), 409, "run_finished"),
        (db.LeaseHeld(RUN, retry_after=3), 503, "run_unavailable"),
        (db.PayloadTooLarge(field="prompt", limit=5, size=9), 422, "invalid"),
        (db.InvalidValue("NUL", field="title"), 422, "invalid"),
        (db.InvalidCursor(), 422, "invalid"),
        (db.ConstraintViolated(constraint="c", kind="unique", table="t"), 409, "conflict"),
        (db.UnsafeRole("postgres", "is a superuser"), 500, "internal"),
        (db.StatementFailed("SyntaxError", "42601"), 500, "internal"),
        (agents.UnknownTool("x"), 404, "tool_not_found"),
        (agents.InvalidArguments("x", [agents.FieldError("expression", "too long")]), 422, "invalid"),
        (agents.ToolFailed("division_by_zero", "It divides by zero."), 422, "division_by_zero"),
        (agents.ToolFailed("tool_timeout", "It took too long."), 502, "tool_timeout"),
        (resilience.DeadlineExceeded(1.0), 504, "timed_out"),
        (resilience.RedisUnavailable("timeout"), 503, "redis_unavailable"),
        (resilience.BreakerOpen("x", 2.0), 503, "dependency_unavailable"),
        (resilience.BulkheadFull(1, 1), 503, "dependency_unavailable"),
        (supabase.TokenExpired(), 401, "token_expired"),
        (supabase.AudienceWrong(), 401, "audience_wrong"),
        (RuntimeError("secret"), 500, "internal"),
    ],
)
def test_an_error_has_one_answer(error, status, code):
    problem = problem_of(error)
    assert (problem.status, problem.code) == (status, code)


def test_waiting_times_are_whole_seconds_and_never_zero():
    assert problem_of(db.DatabaseUnavailable(retry_after=2.2)).headers["Retry-After"] == "3"
    assert problem_of(db.DatabaseUnavailable(retry_after=0)).headers["Retry-After"] == "1"


def test_every_503_says_when_to_come_back():
    for error in (db.PoolExhausted(), db.DatabaseTimeout(), resilience.RedisUnavailable("timeout")):
        assert "Retry-After" in problem_of(error).headers


def test_invalid_arguments_are_named_below_arguments():
    errors = problem_of(
        agents.InvalidArguments("x", [agents.FieldError("a.b", "m"), agents.FieldError("", "m")])
    ).errors
    assert [error.field for error in errors] == ["arguments.a.b", "arguments"]


def test_every_token_error_is_a_401_with_a_challenge():
    kinds = [
        kind
        for _, kind in inspect.getmembers(supabase, inspect.isclass)
        if issubclass(kind, supabase.TokenError)
    ]
    assert len(kinds) > 10
    for kind in kinds:
        problem = TABLE[supabase.TokenError](kind)
        assert problem.status == 401
        assert problem.headers["WWW-Authenticate"].startswith("Bearer")


def test_a_missing_token_gets_the_plain_challenge():
    assert unauthorized("token_missing").headers["WWW-Authenticate"] == "Bearer"


def test_a_problem_document_has_the_members_of_the_standard():
    document = INTERNAL.document("request-1")
    assert document["type"] == "urn:sba:problem:internal"
    assert document["title"] == "Internal Server Error"
    assert document["status"] == 500
    assert document["request_id"] == "request-1"
    assert "errors" not in document


def test_a_problem_without_a_request_id_can_still_be_answered():
    answer = problem_answer({}, Problem(404, "x_not_found", "No."))
    assert answer.status_code == 404
    assert answer.media_type == "application/problem+json"
