"""What this app says no with.

SbaWsError
├── Refused          told to the client as it is: a connect_error or an error acknowledgement
└── StartupFailed    told to the operator: a dependency is of a kind this app refuses to run with
"""

from __future__ import annotations

import math


class SbaWsError(Exception):
    """Root of every error this app raises on purpose."""


class Refused(SbaWsError):
    """A request that is answered with an error, in words meant for the client.

    Attributes:
        code: Stable machine-readable name.
        message: One sentence, without anything secret in it.
        retry_after: Seconds after which the same request may pass, or None when it never will.
    """

    def __init__(self, code: str, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.retry_after = retry_after

    def payload(self) -> dict[str, object]:
        """The error as it goes on the wire: ``{code, message, retry_after?}``, seconds rounded up to ms."""
        body: dict[str, object] = {"code": self.code, "message": self.message}
        if self.retry_after is not None:
            body["retry_after"] = math.ceil(self.retry_after * 1000) / 1000
        return body


class StartupFailed(SbaWsError):
    """The service cannot start with what it was given."""
