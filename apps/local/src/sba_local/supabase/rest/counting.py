"""Totals: exact, planned or estimated (PostgREST: references/api/pagination_count)."""

from __future__ import annotations

from collections.abc import Sequence

from sba_local.supabase.rest.binding import Part
from sba_local.supabase.rest.catalog import Relation
from sba_local.supabase.rest.envelope import counted
from sba_local.supabase.rest.exchange import Outcome
from sba_local.supabase.rest.reading import Reader


def totals(
    reader: Reader, relation: Relation, source: Part, mode: str | None, threshold: int
) -> Sequence[Part]:
    """The column that counts, if the statement is to count.

    Args:
        reader: composes the SELECT.
        relation: what is counted.
        source: where its rows come from.
        mode: how to count.
        threshold: how far an estimate is exact.
    """
    if mode == "exact":
        return [counted(reader.total(relation, source))]
    if mode == "estimated":
        return [counted(reader.total(relation, source, most=threshold + 1))]
    return []


def total_of(outcome: Outcome, mode: str | None, threshold: int) -> int | None:
    """The total, out of what was counted and what was guessed."""
    if mode == "planned":
        return outcome.planned
    if mode not in ("exact", "estimated"):
        return None
    found = outcome.extra[0] or 0
    return max(found, outcome.planned or 0) if mode == "estimated" and found > threshold else found
