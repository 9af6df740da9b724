"""What a generated enumeration can do besides being one of its values."""

from __future__ import annotations

from enum import StrEnum


class Lifecycle(StrEnum):
    """A status that is at first `queued` or `running`, and then ends."""

    @property
    def finished(self) -> bool:
        """True once nothing more will happen."""
        return self.value not in {"queued", "running"}
