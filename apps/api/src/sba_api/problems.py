"""The one error table: what each library error is to an HTTP client."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, cast

from fastapi import HTTPException
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.requests import Request
from starlette.types import Scope

from sba_agents.errors import InvalidArguments, ToolFailed, UnknownTool
from sba_api.answers import ProblemAnswer
from sba_db import errors as db
from sba_ratelimit import Decision
from sba_resilience import BreakerOpen, BulkheadFull, DeadlineExceeded, RedisError
from sba_supabase.errors import KeysUnavailable, TokenError

REQUEST_ID = "sba.request_id"

_MAX_ERRORS = 20
_MAX_FIELD = 200
_RETRY_SOON = 1.0
_TOOLS_FAULT = frozenset({"tool_timeout"})


@dataclass(frozen=True, slots=True)
class FieldError:
    """One field that broke one rule; never holds the value."""

    field: str
    rule: str
    message: str


@dataclass(frozen=True, slots=True)
class Problem:
    """What a client is told: `code` is stable, `detail` is for people."""

    status: int
    code: str
    detail: str
    headers: Mapping[str, str] = field(default_factory=dict)
    errors: Sequence[FieldError] = ()
    title: str | None = None

    def document(self, request_id: str) -> dict[str, Any]:
        """The problem+json object."""
        body: dict[str, Any] = {
            "type": f"urn:sba:problem:{self.code}",
            "title": self.title or HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
            "code": self.code,
            "request_id": request_id,
        }
        if self.errors:
            body["errors"] = [
                {"field": error.field, "rule": error.rule, "message": error.message} for error in self.errors
            ]
        return body


class ProblemError(HTTPException):
    """Ends a request with `problem`."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(status_code=problem.status, detail=problem.detail)
        self.problem = problem


def request_id_of(scope: Scope) -> str:
    """The id this request is answered, logged and traced under."""
    return cast("str", scope.get(REQUEST_ID, ""))


def problem_answer(scope: Scope, problem: Problem) -> ProblemAnswer:
    """The response that says `problem`."""
    document = problem.document(request_id_of(scope))
    return ProblemAnswer(document, status=problem.status, headers=problem.headers)


def invalid(errors: Sequence[FieldError]) -> Problem:
    """422, naming each field and the rule it broke."""
    named = ", ".join(dict.fromkeys(error.field for error in errors))
    return Problem(422, "invalid", f"Not valid: {named}.", errors=tuple(errors))


def invalid_field(field_name: str, rule: str, message: str) -> ProblemError:
    """422 for one field, ready to raise."""
    return ProblemError(invalid([FieldError(field_name, rule, message)]))


def not_found(kind: str) -> Problem:
    """The same answer for an unknown id, another tenant's id and no id at all."""
    return Problem(404, f"{kind}_not_found", f"There is no such {kind.replace('_', ' ')}.")


def unavailable(dependency: str, retry_after: float) -> Problem:
    """503 with a whole number of seconds to wait."""
    seconds = max(1, math.ceil(retry_after))
    return Problem(
        503, f"{dependency}_unavailable", "Try again shortly.", headers={"Retry-After": str(seconds)}
    )


INTERNAL = Problem(500, "internal", "Something went wrong here; the request id finds it in the logs.")
TIMED_OUT = Problem(504, "timed_out", "The request took longer than it may.")
BODY_LATE = Problem(
    408, "body_timed_out", "The body did not arrive in time.", headers={"Connection": "close"}
)
BODY_TOO_LARGE = Problem(413, "body_too_large", "The body is larger than this service accepts.")
NOT_JSON = Problem(415, "not_json", "Send the body as application/json.")
ORIGIN_REFUSED = Problem(403, "origin_refused", "This origin may not call this service.")
TENANT_MISSING = Problem(
    403, "tenant_missing", "The token names no tenant; pick one of yours with X-Tenant-Id."
)
TENANT_MALFORMED = Problem(400, "tenant_malformed", "X-Tenant-Id must be one UUID.")
NOT_A_MEMBER = Problem(403, "not_a_member", "The caller is not a member of this tenant.")


def unauthorized(code: str) -> Problem:
    """401 with the reason as a code and the challenge HTTP asks for."""
    challenge = (
        "Bearer" if code == "token_missing" else f'Bearer error="invalid_token", error_description="{code}"'
    )
    return Problem(401, code, "A valid bearer token is needed.", headers={"WWW-Authenticate": challenge})


def refused(decision: Decision) -> Problem:
    """429 with the limit headers; 503 where it is not a quota that refuses, but Redis that is away."""
    if decision.outage and not decision.limits:
        return unavailable("limits", decision.retry_after)
    return Problem(
        429,
        "rate_limited",
        "Too many requests; wait as long as Retry-After says.",
        headers=dict(decision.headers()),
    )


def tool_failed(error: ToolFailed) -> Problem:
    """422 with the tool's own reason, which is written for its user; 502 where the tool itself gave up."""
    status = 502 if error.code in _TOOLS_FAULT else 422
    return Problem(status, error.code, error.message, title="The tool failed")


def from_http_error(error: StarletteHTTPException) -> Problem:
    """What the framework raises: no such path, no such method, our own problems."""
    if isinstance(error, ProblemError):
        return error.problem
    code = HTTPStatus(error.status_code).name.lower()
    return Problem(
        error.status_code, code, HTTPStatus(error.status_code).description or code, error.headers or {}
    )


def from_validation(error: RequestValidationError) -> Problem:
    """422 naming each field as the client knows it; the values stay out of it."""
    return invalid([_field_error(item) for item in error.errors()[:_MAX_ERRORS]])


def _field_error(item: Mapping[str, Any]) -> FieldError:
    path = item["loc"][1:] or item["loc"]
    return FieldError(".".join(str(part) for part in path)[:_MAX_FIELD], item["type"], item["msg"])


def _invalid_arguments(error: InvalidArguments) -> Problem:
    return invalid(
        [
            FieldError(f"arguments.{each.field}" if each.field else "arguments", "argument", each.message)
            for each in error.errors[:_MAX_ERRORS]
        ]
    )


def _same(problem: Problem) -> Callable[[Any], Problem]:
    return lambda _: problem


TABLE: Mapping[type[Exception], Callable[[Any], Problem]] = {
    StarletteHTTPException: from_http_error,
    RequestValidationError: from_validation,
    TokenError: lambda error: unauthorized(error.code),
    KeysUnavailable: lambda error: unavailable("keys", error.retry_after),
    db.MembershipDenied: _same(NOT_A_MEMBER),
    db.RunNotFound: _same(not_found("run")),
    db.IdempotencyConflict: _same(
        Problem(409, "idempotency_conflict", "This Idempotency-Key was used with another body.")
    ),
    db.InvalidTransition: _same(Problem(409, "run_finished", "The run has already finished.")),
    db.LeaseHeld: lambda error: unavailable("run", error.retry_after),
    db.PayloadTooLarge: lambda error: invalid(
        [FieldError(error.field, "max_size", f"May hold at most {error.limit} bytes.")]
    ),
    db.InvalidInput: _same(invalid([FieldError("body", "value", "Holds something that cannot be stored.")])),
    db.InvalidValue: lambda error: invalid([FieldError(error.field or "body", "value", error.reason)]),
    db.ConstraintViolated: _same(Problem(409, "conflict", "This contradicts what is stored.")),
    db.DatabaseTimeout: lambda _: unavailable("database", _RETRY_SOON),
    db.TransactionConflict: lambda _: unavailable("database", _RETRY_SOON),
    db.InvalidCursor: _same(invalid([FieldError("cursor", "cursor", "Use a next_cursor as it was given.")])),
    db.DatabaseUnavailable: lambda error: unavailable("database", error.retry_after),
    UnknownTool: _same(not_found("tool")),
    InvalidArguments: _invalid_arguments,
    ToolFailed: tool_failed,
    DeadlineExceeded: _same(TIMED_OUT),
    BreakerOpen: lambda error: unavailable("dependency", error.retry_after),
    BulkheadFull: lambda _: unavailable("dependency", _RETRY_SOON),
    RedisError: lambda _: unavailable("redis", _RETRY_SOON),
}


def problem_of(error: Exception) -> Problem:
    """What `error` is to a client, by its nearest class in the table."""
    for kind in type(error).__mro__:
        if kind in TABLE:
            return TABLE[kind](error)
    return INTERNAL


async def answer_error(request: Request, error: Exception) -> ProblemAnswer:
    """The exception handler of every class in the table."""
    return problem_answer(request.scope, problem_of(error))
