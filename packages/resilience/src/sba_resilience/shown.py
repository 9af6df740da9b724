"""What metrics say of the state of a breaker."""

from __future__ import annotations

from sba_resilience.states import LEVELS, State
from sba_telemetry import counter, gauge

_changes = counter("sba.breaker.changes", description="Changes of state by breaker and new state.")
_level = gauge("sba.breaker.state", description="By breaker: 0 closed, 1 half open, 2 open.")


def show_level(name: str, state: State) -> None:
    """Set the gauge.

    Args:
        name: The breaker.
        state: Its state.
    """
    _level.set(LEVELS[state], {"breaker": name})


def show_change(name: str, state: State) -> None:
    """Count a change of state, and set the gauge.

    Args:
        name: The breaker.
        state: Its new state.
    """
    _changes.add(1, {"breaker": name, "state": state.value})
    show_level(name, state)
