"""What a folder holds, out of names that have slashes in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from sba_local.supabase.storage import errors
from sba_local.supabase.storage.rows import Row, document

_MOST: Final = 1000
_SORTABLE: Final = frozenset({"name", "updated_at", "created_at", "last_accessed_at"})
_OF_OBJECT: Final = ("id", "updated_at", "created_at", "last_accessed_at", "metadata")


def prefix_of(body: Mapping[str, Any]) -> str:
    """The beginning of the names in a folder.

    Raises:
        StorageRefusal: none is given.
    """
    prefix = body.get("prefix")
    if not isinstance(prefix, str):
        raise errors.invalid("body must have required property 'prefix'")
    return f"{prefix.strip('/')}/" if prefix.strip("/") else ""


def listed(rows: Sequence[Row], prefix: str, body: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The entries of one folder: folders without an id, and objects.

    Args:
        rows: the objects below it.
        prefix: what their names begin with.
        body: `limit`, `offset`, `search` and `sortBy`.

    Raises:
        StorageRefusal: one of these cannot be.
    """
    entries: dict[str, dict[str, Any]] = {}
    for row in rows:
        head, slash, _ = row["name"][len(prefix) :].partition("/")
        nothing = dict.fromkeys(_OF_OBJECT)
        entries[head] = {"name": head, **(nothing if slash else {key: row[key] for key in _OF_OBJECT})}
    wanted = str(body.get("search") or "").lower()
    found = [entry for entry in entries.values() if entry["name"].lower().startswith(wanted)]
    start = _number(body, "offset", 0)
    page = _sorted(found, body.get("sortBy"))[start : start + min(_number(body, "limit", 100), _MOST)]
    return [document(entry) for entry in page]


def _sorted(entries: list[dict[str, Any]], order: object) -> list[dict[str, Any]]:
    wish = order if isinstance(order, Mapping) else {}
    column, descending = wish.get("column", "name"), wish.get("order", "asc") == "desc"
    if not isinstance(column, str) or column not in _SORTABLE:
        raise errors.invalid("body/sortBy/column must be equal to one of the allowed values")
    with_value = [entry for entry in entries if entry[column] is not None]
    without = [entry for entry in entries if entry[column] is None]
    return [*without, *sorted(with_value, key=lambda entry: entry[column], reverse=descending)]


def _number(body: Mapping[str, Any], name: str, otherwise: int) -> int:
    value = body.get(name, otherwise)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise errors.invalid(f"body/{name} must be >= 0")
    return value
