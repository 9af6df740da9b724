"""Which limits a request has: by its route, and for whom."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Generic, TypeAlias, TypeVar

from sba_ratelimit.key import KeyPart
from sba_ratelimit.limit import Limit
from sba_ratelimit.plan import Per

T = TypeVar("T")
Scope: TypeAlias = MutableMapping[str, Any]
Who: TypeAlias = Callable[[Scope], Mapping[str, KeyPart | None]]

ANY: Final = "*"
SOCKET: Final = "WEBSOCKET"
_METHODS: Final = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", SOCKET})


@dataclass(slots=True)
class _Node(Generic[T]):
    """What begins with the same segments; `ends` and `rests` by method."""

    literals: dict[str, _Node[T]] = field(default_factory=dict)
    parameter: _Node[T] | None = None
    ends: dict[str, tuple[str, T]] = field(default_factory=dict)
    rests: dict[str, tuple[str, T]] = field(default_factory=dict)


class RouteTable(Generic[T]):
    """Finds what belongs to a request's method and path, whatever the order of the entries.

    A pattern is a path template with or without a method: `POST /v1/runs`, `/v1/runs/{run_id}`,
    `GET /files/{name:path}`. `{name}` is one segment, `{name:path}` is all that follows, or nothing. At the
    first segment in which two matching templates differ, a literal goes before `{name}`, and that before
    `{name:path}`; for the same template a method goes before none. HEAD is served as GET unless it has an
    entry. A slash at the end makes no difference. A search visits each entry's segments once at most.

    Args:
        entries: Values by pattern.

    Raises:
        ValueError: A pattern is malformed, or two are the same.
    """

    def __init__(self, entries: Mapping[str, T]) -> None:
        self._root: _Node[T] = _Node()
        self._depth = 1
        for pattern, value in entries.items():
            self._add(pattern, value)

    def find(self, method: str, path: str) -> tuple[str, T] | None:
        """The pattern and value of the best match, or None.

        Args:
            method: As in the request; `WEBSOCKET` for a WebSocket.
            path: Decoded, beginning with a slash.
        """
        segments = path.split("/", self._depth + 1)[1:]
        if segments and not segments[-1]:
            segments.pop()
        return _find(self._root, segments, 0, _methods(method))

    def _add(self, pattern: str, value: T) -> None:
        method, _, path = pattern.rpartition(" ")
        if not path.startswith("/") or (method and not (method.isascii() and method.isupper())):
            raise ValueError(f"a pattern is '/path' or 'METHOD /path', not {pattern!r}")
        segments = [segment for segment in path.split("/")[1:] if segment]
        self._depth = max(self._depth, len(segments))
        node, places = self._root, None
        for index, segment in enumerate(segments):
            if _is_rest(segment) and index == len(segments) - 1:
                places = node.rests
            else:
                node = _below(node, segment)
        places = node.ends if places is None else places
        if places.setdefault(method or ANY, (pattern, value))[0] is not pattern:
            raise ValueError(f"two patterns are the same: {pattern!r}")


def _below(node: _Node[T], segment: str) -> _Node[T]:
    if _is_parameter(segment):
        node.parameter = node.parameter or _Node()
        return node.parameter
    if "{" in segment or "}" in segment or _is_rest(segment):
        raise ValueError(f"a parameter is a whole segment, and a path ends its template: {segment!r}")
    return node.literals.setdefault(segment, _Node())


def _is_parameter(segment: str) -> bool:
    inside = segment[1:-1]
    whole = segment.startswith("{") and segment.endswith("}") and not set("{}") & set(inside)
    return whole and bool(inside) and not inside.endswith(":path")


def _is_rest(segment: str) -> bool:
    return segment.startswith("{") and segment.endswith(":path}")


def _methods(method: str) -> tuple[str, ...]:
    return (method, "GET", ANY) if method == "HEAD" else (method, ANY)


def _find(node: _Node[T], segments: Sequence[str], at: int, methods: tuple[str, ...]) -> tuple[str, T] | None:
    found = None
    if at == len(segments):
        found = _of(node.ends, methods)
    else:
        literal = node.literals.get(segments[at])
        if literal is not None:
            found = _find(literal, segments, at + 1, methods)
        if found is None and node.parameter is not None and segments[at]:
            found = _find(node.parameter, segments, at + 1, methods)
    return found or _of(node.rests, methods)


def _of(places: Mapping[str, tuple[str, T]], methods: Iterable[str]) -> tuple[str, T] | None:
    return next((places[method] for method in methods if method in places), None)


class RouteLimits:
    """The limits of a request from tables: pass it as `limits` to `RateLimitMiddleware`.

    A quota counts by `method`, `route` (the pattern that matched) and whatever `who` names, such as `ip`,
    `tenant` and `user`; without `route` among them, routes share the units of quotas of the same name. The
    first dimension chooses the hash slot: on a cluster, quotas that meet in one request begin with the same.
    One with a dimension that is None for a request, such as the tenant of a visitor, does not apply to it.

    Args:
        routes: Quotas by pattern, as for `RouteTable`; of several that match, the best alone counts.
        always: Quotas of every request.
        who: The dimensions of a request; `method` and `route` are known without it.

    Raises:
        ValueError: A pattern is malformed, a quota counts by nothing, or a request would meet the same name
            and dimensions twice.
    """

    def __init__(self, routes: Mapping[str, Sequence[Per]], *, always: Sequence[Per] = (), who: Who) -> None:
        self._always = tuple(always)
        self._who = who
        tables = {pattern: (*always, *quotas) for pattern, quotas in routes.items()}
        self._table = RouteTable(tables)
        for pattern, quotas in {**tables, ANY: self._always}.items():
            _check_apart(pattern, quotas)

    def __call__(self, scope: Scope) -> list[Limit]:
        """The limits of one request.

        Raises:
            DimensionMissing: A quota counts by something that `who` does not name.
        """
        method = str(scope.get("method", SOCKET))
        found = self._table.find(method, route_path(scope))
        pattern, quotas = found or (None, self._always)
        if not quotas:
            return []
        known = method if method in _METHODS else "OTHER"
        whose = {"method": known, "route": pattern, **self._who(scope)}
        return [Limit.of(per.quota, *key) for per in quotas if (key := per.parts(whose)) is not None]


def _check_apart(pattern: str, quotas: Sequence[Per]) -> None:
    if not all(per.by for per in quotas):
        raise ValueError(f"a quota of {pattern!r} counts by nothing")
    if len({(per.quota.name, per.by) for per in quotas}) != len(quotas):
        raise ValueError(f"two quotas of {pattern!r} have the same name and dimensions")


def route_path(scope: Mapping[str, Any]) -> str:
    """The path below the place where the application is mounted."""
    path: str = scope["path"]
    root = str(scope.get("root_path") or "")
    below = path.removeprefix(root) if root else path
    return below if below.startswith("/") else path
