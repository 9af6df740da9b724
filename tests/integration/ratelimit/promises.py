"""What a limit promises of the admissions in a log."""

from __future__ import annotations

from sba_ratelimit import Limit

Log = list[tuple[int, int]]


def taken(log: Log, after: int, until: int) -> int:
    """Units with `after` < time <= `until`."""
    return sum(units for at, units in log if after < at <= until)


def most_in_a_window(limit: Limit, log: Log) -> int:
    """A window as full as any is one that ends with an admission."""
    return max((taken(log, at - limit.quota.window, at) for at, _ in log), default=0)


def within_the_bucket(limit: Limit, log: Log) -> bool:
    """In any span there are never more units than the burst and what came back meanwhile."""
    return all(
        taken(log, begin - 1, end) <= limit.capacity + (end - begin) // limit.unit
        for begin, _ in log
        for end, _ in log
        if end >= begin
    )


def broken(limit: Limit, log: Log) -> bool:
    """Whether more passed than the limit allows."""
    if limit.quota.algorithm == "sliding_window":
        return most_in_a_window(limit, log) > limit.count
    return not within_the_bucket(limit, log)
