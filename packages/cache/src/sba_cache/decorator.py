"""Functions whose answers are kept."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable, Coroutine
from types import SimpleNamespace
from typing import Any, ParamSpec, Protocol, TypeVar, get_type_hints

from sba_cache.adaptive import Adaptive
from sba_cache.key import CacheKey
from sba_cache.policy import Policy

P = ParamSpec("P")
T = TypeVar("T")


class GetOrLoad(Protocol):
    """What asks a cache."""

    def __call__(
        self,
        key: CacheKey,
        loader: Callable[[], Awaitable[T]],
        *,
        ttl: float | Adaptive,
        type: Any,  # noqa: A002, ANN401 - as `Cache.get_or_load`
        tags: tuple[str, ...],
        policy: Policy,
    ) -> Awaitable[T]:
        """The value."""


def cached_by(
    ask: GetOrLoad,
    namespace: str,
    *,
    tenant: str,
    ignore: frozenset[str],
    ttl: float | Adaptive,
    tags: tuple[str, ...],
    policy: Policy,
) -> Callable[[Callable[P, Awaitable[T]]], Callable[P, Coroutine[Any, Any, T]]]:
    """A decorator that asks a cache before the function."""

    def decorate(function: Callable[P, Awaitable[T]]) -> Callable[P, Coroutine[Any, Any, T]]:
        key_of = _key_of(function, namespace, tenant, ignore)
        answer = _answer_of(function)

        @functools.wraps(function)
        async def wrapper(*args: P.args, **kwargs: P.kwargs) -> T:
            load = functools.partial(function, *args, **kwargs)
            return await ask(key_of(args, kwargs), load, ttl=ttl, type=answer, tags=tags, policy=policy)

        return wrapper

    return decorate


def _answer_of(function: Callable[..., Any]) -> Any:  # noqa: ANN401 - what is returned is of any type
    """The return annotation; those of parameters may be names that only type checkers know."""
    plain = inspect.unwrap(function)
    annotation = getattr(plain, "__annotations__", {}).get("return", Any)
    returned = SimpleNamespace(__annotations__={"return": annotation})
    return get_type_hints(returned, getattr(plain, "__globals__", {}))["return"]


def _key_of(
    function: Callable[..., Any], namespace: str, tenant: str, ignore: frozenset[str]
) -> Callable[[tuple[Any, ...], dict[str, Any]], CacheKey]:
    signature = inspect.signature(function)
    unknown = {tenant, *ignore} - signature.parameters.keys()
    if unknown:
        raise TypeError(f"{function.__qualname__} has no parameter {', '.join(sorted(unknown))}")
    place = f"{function.__module__}.{function.__qualname__}"

    def key_of(args: tuple[Any, ...], kwargs: dict[str, Any]) -> CacheKey:
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        given = {name: _part(value) for name, value in bound.arguments.items() if name not in ignore}
        return CacheKey(given.pop(tenant), namespace, place, *given.values())

    return key_of


def _part(value: Any) -> Any:  # noqa: ANN401 - an argument of any type
    """An argument as a part; what was given by name is told apart by its name, in whichever order."""
    return tuple(sorted(value.items())) if isinstance(value, dict) else value
