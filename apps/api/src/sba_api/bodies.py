"""Request bodies: strict JSON, refused before any model sees it."""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn

from sba_api.problems import FieldError, ProblemError, invalid

MAX_DEPTH = 32
MAX_VALUES = 50_000


class _RefusedError(ValueError):
    def __init__(self, rule: str, message: str) -> None:
        super().__init__(message)
        self.rule = rule


def _constant(name: str) -> NoReturn:
    raise _RefusedError("finite_number", f"{name} is not JSON.")


def _float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise _RefusedError("finite_number", "A number is too large.")
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise _RefusedError("unique_keys", "An object names the same key twice.")
    return made


_decoder = json.JSONDecoder(object_pairs_hook=_object, parse_float=_float, parse_constant=_constant)


def parse_json(raw: bytes) -> Any:  # noqa: ANN401 - JSON is any value until a model has seen it
    """The value of a JSON text in UTF-8.

    Refuses duplicate keys, NaN and infinities, NUL characters, lone surrogates, more than
    `MAX_DEPTH` levels and more than `MAX_VALUES` values.

    Raises:
        ProblemError: 422 naming the field and the rule.
    """
    try:
        value = _decoder.decode(raw.decode("utf-8"))
    except _RefusedError as error:
        raise _unreadable(error.rule, str(error)) from None
    except UnicodeDecodeError:
        raise _unreadable("utf_8", "The body is not UTF-8.") from None
    except RecursionError:
        raise _unreadable("max_depth", f"The body is nested deeper than {MAX_DEPTH} levels.") from None
    except ValueError:
        raise _unreadable("json", "The body is not JSON.") from None
    _inspect(value)
    return value


def _unreadable(rule: str, message: str, field: str = "body") -> ProblemError:
    return ProblemError(invalid([FieldError(field, rule, message)]))


def _inspect(value: object) -> None:
    waiting: list[tuple[str, int, object]] = [("", 0, value)]
    seen = 0
    while waiting:
        field, depth, item = waiting.pop()
        seen += 1
        if seen > MAX_VALUES:
            raise _unreadable("max_values", f"The body holds more than {MAX_VALUES} values.")
        if isinstance(item, str):
            _inspect_text(field, item)
        elif isinstance(item, dict | list):
            if depth == MAX_DEPTH:
                raise _unreadable("max_depth", f"The body is nested deeper than {MAX_DEPTH} levels.")
            waiting.extend(_children(field, depth + 1, item))


def _children(field: str, depth: int, item: dict[str, Any] | list[Any]) -> list[tuple[str, int, object]]:
    if isinstance(item, list):
        return [(_joined(field, str(place)), depth, child) for place, child in enumerate(item)]
    for key in item:
        _inspect_text(field, key)
    return [(_joined(field, key), depth, child) for key, child in item.items()]


def _joined(field: str, name: str) -> str:
    return f"{field}.{name}" if field else name


def _inspect_text(field: str, text: str) -> None:
    if "\0" in text:
        raise _unreadable("no_nul", "Text may not hold a NUL character.", field or "body")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise _unreadable("unicode", "Text holds half of a surrogate pair.", field or "body") from None
