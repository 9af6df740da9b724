"""What a guarded call can fail with.

ResilienceError
├── DeadlineExceeded          the time given to the whole operation is used up
├── BreakerOpen               the dependency failed too often: refused without calling it
├── BulkheadFull              too many calls are already in flight and waiting
├── CanaryContended           others kept deciding about the same canary
├── UnshareableCommand        the command would upset everyone on a shared connection: not sent
├── WrongEventLoop            the client belongs to another event loop: nothing was sent
└── RedisError
    ├── RedisUnavailable      no answer: refused, lost, too late, or the breaker is open
    └── RedisCommandError     the server answered, with an error
"""

from __future__ import annotations


class ResilienceError(Exception):
    """Anything this package raises."""


class DeadlineExceeded(ResilienceError, TimeoutError):
    """The time given to the whole operation is used up.

    Attributes:
        budget: Seconds the operation was given.
    """

    def __init__(self, budget: float) -> None:
        super().__init__(f"deadline of {budget:.3f} s exceeded")
        self.budget = budget


class BreakerOpen(ResilienceError):
    """A breaker refused the call without making it.

    Attributes:
        name: The breaker's name.
        retry_after: Seconds until it lets a probe through.
    """

    def __init__(self, name: str, retry_after: float) -> None:
        super().__init__(f"{name}: breaker is open, try again in {retry_after:.3f} s")
        self.name = name
        self.retry_after = retry_after


class BulkheadFull(ResilienceError):
    """No place became free: every waiting place was taken as well, or the wait was too long.

    Attributes:
        limit: Calls allowed at once.
        queue: Callers allowed to wait.
        waited: Seconds this caller waited; 0 when it was refused at once.
    """

    def __init__(self, limit: int, queue: int, waited: float = 0.0) -> None:
        detail = f"none became free within {waited:.3f} s" if waited else f"{queue} waiting"
        super().__init__(f"{limit} calls in flight and {detail}")
        self.limit = limit
        self.queue = queue
        self.waited = waited


class CanaryContended(ResilienceError):
    """Others kept deciding about the same canary: look at what they decided, then decide again.

    Attributes:
        name: The canary.
    """

    def __init__(self, name: str) -> None:
        super().__init__(f"{name}: others are deciding about this canary")
        self.name = name


class UnshareableCommand(ResilienceError, ValueError):
    """A command would upset everyone else on the shared connection, and was not sent.

    Attributes:
        command: Its name.
        why: What it would do, and what to use instead.
    """

    def __init__(self, command: str, why: str) -> None:
        super().__init__(f"{command} cannot be sent on a shared connection: {why}".strip())
        self.command = command
        self.why = why


class WrongEventLoop(ResilienceError, RuntimeError):
    """A Redis client was used in another event loop than the one it was opened in; nothing was sent."""

    def __init__(self) -> None:
        super().__init__("a Redis client works only in the event loop it was opened in: open one in each")


class RedisError(ResilienceError):
    """Anything the guarded Redis client raises."""


class RedisUnavailable(RedisError):
    """The server gave no usable answer.

    Attributes:
        reason: `timeout`, `refused`, `lost`, `breaker_open`, `authentication`, `not_ready`, `busy`,
            `unsupported` or `closed`.
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"redis unavailable: {reason}" + (f" ({detail})" if detail else ""))
        self.reason = reason


class RedisCommandError(RedisError):
    """The server answered with an error.

    Attributes:
        code: First word of the reply, such as `WRONGTYPE`.
        message: The rest, without the arguments some servers echo.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code} {message}".strip())
        self.code = code
        self.message = message

    @classmethod
    def from_reply(cls, text: str) -> RedisCommandError:
        """Build from an error reply, dropping echoed arguments: they may be secrets."""
        code, _, message = text.partition(" ")
        return cls(code, message.partition(", with args beginning with")[0])
