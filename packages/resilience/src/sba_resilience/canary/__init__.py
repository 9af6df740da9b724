"""A new way of doing something for a sticky share of tenants, taken back by itself when it is worse."""

from sba_resilience.canary.canary import Canary
from sba_resilience.canary.figures import Side, Totals
from sba_resilience.canary.judge import Finding, Rules, Verdict, compare
from sba_resilience.canary.shared import RedisStore
from sba_resilience.canary.store import Batch, CanaryStore, Decision, MemoryStore, Phase, Status, View

__all__ = [
    "Batch",
    "Canary",
    "CanaryStore",
    "Decision",
    "Finding",
    "MemoryStore",
    "Phase",
    "RedisStore",
    "Rules",
    "Side",
    "Status",
    "Totals",
    "Verdict",
    "View",
    "compare",
]
