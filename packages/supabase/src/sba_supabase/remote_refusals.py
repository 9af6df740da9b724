"""The errors of calls to a project; `errors` draws the tree."""

from __future__ import annotations

from typing import ClassVar

from sba_supabase.supabase_error import SupabaseError


class RemoteError(SupabaseError):
    """The project answered a call with an error, or did not answer.

    Attributes:
        status: of HTTP, None where there was no answer.
        reason: the project's code for it, or what failed on the way.
        detail: the project's text; it may quote what the caller sent, so it is in no message.
    """

    code = "remote_failed"
    message: ClassVar[str] = "the call failed"

    def __init__(self, status: int | None, reason: str, detail: str = "") -> None:
        self.status = status
        self.reason = reason
        self.detail = detail
        super().__init__(f"{self.message} ({status}, {reason})")


class RemoteRefused(RemoteError):
    """The caller may not."""

    code = "remote_refused"
    message = "the call is refused"


class RemoteMissing(RemoteError):
    """There is no such function, or no such thing."""

    code = "remote_missing"
    message = "there is no such thing"


class RemoteConflict(RemoteError):
    """It collides with something that is there."""

    code = "remote_conflict"
    message = "it is there already"


class RemoteInvalid(RemoteError):
    """The call is wrong in itself."""

    code = "remote_invalid"
    message = "the call is wrong"


class RemoteUnavailable(RemoteError):
    """The project cannot answer now.

    Attributes:
        retry_after: seconds it asked to be left alone, 0 where it did not say.
    """

    code = "remote_unavailable"
    message = "the project cannot answer now"

    def __init__(
        self, status: int | None, reason: str, detail: str = "", *, retry_after: float = 0.0
    ) -> None:
        super().__init__(status, reason, detail)
        self.retry_after = retry_after


class ResultInvalid(RemoteError):
    """The answer is not of the type that was asked for.

    Attributes:
        places: where it is not.
    """

    code = "result_invalid"
    message = "the result is of another shape"

    def __init__(self, places: tuple[str, ...]) -> None:
        super().__init__(None, "result_invalid")
        self.places = places


class PathRefused(SupabaseError):
    """A path is no object's, or could leave its tenant's folder."""

    code = "path_refused"

    def __init__(self) -> None:
        super().__init__("a path is names of letters, digits and common signs, with single slashes between")


class TenantUnset(SupabaseError):
    """A client without a tenant is asked for something of a tenant."""

    code = "tenant_unset"

    def __init__(self) -> None:
        super().__init__("the client has no tenant: call set_tenant_context first")
