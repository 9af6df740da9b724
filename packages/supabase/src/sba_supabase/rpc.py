"""Calls of the database's functions: guarded, typed, and failing by one name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final, TypeVar

import httpx
from postgrest.base_request_builder import RequestConfig
from pydantic import BaseModel, ValidationError
from pydantic_core import to_jsonable_python

from sba_resilience import Guard, retry_after_of
from sba_supabase.calls import Declared, Guards, guarded, read, read_by, refusal
from sba_supabase.clients.client import ProjectClient
from sba_supabase.types import schema

T = TypeVar("T")
ArgumentsT = TypeVar("ArgumentsT", bound=schema.Write)
_NOTHING: Final[Mapping[str, Any]] = {}


class _Problem(BaseModel):
    """The body of a refusal."""

    code: str | None = None
    message: str | None = None


async def rpc(
    client: ProjectClient,
    name: str,
    arguments: Mapping[str, Any] = _NOTHING,
    *,
    returns: type[T],
    guards: Guards,
    idempotent: bool = False,
) -> T:
    """Call a function of the database as the client's user.

    Args:
        client: of `create_server_client`, with its tenant set, or any other.
        name: of the function; never one that a request brings.
        arguments: by name; UUIDs, dates and pydantic models are written as JSON has them.
        returns: what it gives: a pydantic model, `list[Model]`, `int`, ...
        guards: the process's.
        idempotent: it may safely run more than once, and is repeated when the project is unavailable.

    Raises:
        RemoteError: what the project answered, or that it did not.
        ResultInvalid: the result is no `returns`.
        ResilienceError: the guard did not let it through, or time ran out.
        ValueError: `name` can be no function's.

    Example:
        >>> found = await rpc(mine, "search", {"query": "beans"}, returns=list[Match], guards=guards)
    """
    sent: dict[str, Any] = {key: to_jsonable_python(value) for key, value in arguments.items()}
    guard = _guard_of(guards, name)
    return await guarded(
        guard, lambda: _send(client, name, sent, partial(read, returns)), idempotent=idempotent
    )


async def call(
    client: ProjectClient,
    function: schema.Rpc[ArgumentsT, T],
    arguments: ArgumentsT,
    *,
    guards: Guards,
    idempotent: bool = False,
) -> T:
    """Call a function of the database whose types were generated.

    Args:
        client: of `create_server_client`, with its tenant set, or any other.
        function: the generated constant, `RPC_…`.
        arguments: the generated model of them; what is left out keeps the function's default.
        guards: the process's.
        idempotent: it may safely run more than once, and is repeated when the project is unavailable.

    Raises:
        RemoteError: what the project answered, or that it did not.
        ResultInvalid: the result is not what the types were generated from.
        ResilienceError: the guard did not let it through, or time ran out.

    Example:
        >>> role = await call(
        ...     mine, RPC_SET_TENANT_CONTEXT, SetTenantContextArguments(tenant_id=tenant), guards=guards
        ... )
    """
    sent, name = arguments.values_set(), function.name
    guard = _guard_of(guards, name)
    return await guarded(
        guard, lambda: _send(client, name, sent, partial(read_by, function.result)), idempotent=idempotent
    )


def _guard_of(guards: Guards, name: str) -> Guard:
    if not name.strip("."):
        raise ValueError("an operation is named by more than dots")
    return guards.of(f"rpc.{name}")


async def _send(client: ProjectClient, name: str, sent: dict[str, Any], reads: Callable[[bytes], T]) -> T:
    request: RequestConfig[httpx.AsyncClient] = client.rpc(name, sent).request
    response = await request.send(httpx.Headers())
    if response.is_success:
        return reads(response.content)
    raise _refusal(response)


def _refusal(response: httpx.Response) -> Exception:
    try:
        problem = _Problem.model_validate_json(response.content)
    except ValidationError:
        problem = _Problem()
    asked = retry_after_of(httpx.HTTPStatusError("", request=response.request, response=response))
    return refusal(
        response.status_code, problem.code or str(response.status_code), problem.message or "", asked=asked
    )


class Rpc(Declared[T]):
    """A function of the database, declared once and called in many places.

    Args:
        name: of the function.
        returns: what it gives.
        guards: the process's.
        idempotent: it may safely run more than once.
    """

    async def __call__(self, client: ProjectClient, arguments: Mapping[str, Any] = _NOTHING) -> T:
        """Call it; see `rpc`."""
        return await rpc(
            client,
            self.name,
            arguments,
            returns=self._returns,
            guards=self._guards,
            idempotent=self._idempotent,
        )
