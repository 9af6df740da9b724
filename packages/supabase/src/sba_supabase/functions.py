"""Calls of edge functions: guarded, typed, and failing by one name."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final, Literal, TypeVar

from pydantic_core import to_jsonable_python
from supabase_functions.errors import FunctionsError

from sba_supabase.calls import Declared, Guards, guarded, patience_of, read, refusal
from sba_supabase.clients.client import ProjectClient

T = TypeVar("T")
Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]

_NOTHING: Final[Mapping[str, Any]] = {}
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")


async def invoke(
    client: ProjectClient,
    name: str,
    body: object = None,
    *,
    returns: type[T],
    guards: Guards,
    idempotent: bool = False,
    method: Method = "POST",
) -> T:
    """Call an edge function as the client's user.

    Args:
        client: of `create_server_client`, with its tenant set, or any other.
        name: of the function; never one that a request brings.
        body: what JSON can hold, with UUIDs, dates and pydantic models as JSON has them; nothing for a GET.
        returns: what it answers: a pydantic model, `list[Model]`, `int`, ...
        guards: the process's.
        idempotent: it may safely run more than once, and is repeated when it is unavailable.
        method: of HTTP.

    Raises:
        RemoteError: what it answered, or that it did not.
        ResultInvalid: the answer is no `returns`.
        ResilienceError: the guard did not let it through, or time ran out.
        ValueError: `name` can be no function's, or JSON cannot hold `body`.

    Example:
        >>> summary = await invoke(mine, "summarise", {"document": id}, returns=Summary, guards=guards)
    """
    if not _NAME.fullmatch(name):
        raise ValueError("a function is named by letters, digits, hyphens and underscores")
    options = {"method": method, **_sent(body)}

    async def attempt() -> T:
        try:
            answer = await client.functions.invoke(name, options)
        except FunctionsError as error:
            refused = refusal(error.status, error.name, error.message, asked=patience_of(error))
        else:
            return read(returns, answer if isinstance(answer, bytes) else b"")
        raise refused

    return await guarded(guards.of(f"functions.{name}"), attempt, idempotent=idempotent)


def _sent(body: object) -> dict[str, object]:
    """A body in JSON, whatever it is; Supabase's client would send a text as it is."""
    if body is None:
        return {}
    text = json.dumps(to_jsonable_python(body), separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return {"body": text.encode(), "headers": {"content-type": "application/json"}}


class EdgeFunction(Declared[T]):
    """An edge function, declared once and called in many places.

    Args:
        name: of the function.
        returns: what it answers.
        guards: the process's.
        idempotent: it may safely run more than once.
    """

    async def __call__(self, client: ProjectClient, arguments: Mapping[str, Any] = _NOTHING) -> T:
        """Call it with a body of these members; see `invoke`."""
        return await invoke(
            client,
            self.name,
            dict(arguments),
            returns=self._returns,
            guards=self._guards,
            idempotent=self._idempotent,
        )
