"""The client of a user, and the one for programs that run where their user sits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import ClassVar, Self
from uuid import UUID

from supabase import AsyncClient, AsyncClientOptions  # noqa: TID251 - this package is where it is used
from supabase_auth import AsyncMemoryStorage, AsyncSupportedStorage
from supabase_auth.types import AuthChangeEvent, Session

from sba_supabase.api_keys import is_secret
from sba_supabase.auth.cookies import cookie_name
from sba_supabase.clients.auth import SessionAuth
from sba_supabase.errors import SettingProblem, SettingsError
from sba_supabase.settings import PublicProject
from sba_supabase.tenant import TENANT_HEADER
from sba_supabase.transport import Loan, Pool


@dataclass(repr=False)
class Options(AsyncClientOptions):
    """Supabase's options and ours: time limits and retries are the pool's and the caller's, never its own."""

    postgrest_client_retry: bool = False
    storage_key: str = ""

    def __repr__(self) -> str:
        return f"Options(storage_key={self.storage_key!r})"


class ProjectClient(AsyncClient):
    """Supabase's client over a pool it shares.

    Args:
        url: the project's address.
        key: the API key of each request.
        options: with the HTTP client of the loan.
        loan: the connections.
    """

    auth: SessionAuth
    auth_class: ClassVar[type[SessionAuth]] = SessionAuth

    def __init__(self, url: str, key: str, options: Options, loan: Loan) -> None:
        self._loan = loan
        super().__init__(url, key, options)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.supabase_url.host!r})"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Stop refreshing the session. The pool stays open."""
        self.auth.stop()

    @classmethod
    def _init_supabase_auth_client(  # type: ignore[override]  # the options are always ours here
        cls, auth_url: str, client_options: Options, **_: object
    ) -> SessionAuth:
        return cls.auth_class(
            url=auth_url,
            headers=client_options.headers,
            storage_key=client_options.storage_key,
            auto_refresh_token=client_options.auto_refresh_token,
            persist_session=client_options.persist_session,
            storage=client_options.storage,
            http_client=client_options.httpx_client,
            flow_type=client_options.flow_type,
        )


class Client(ProjectClient):
    """A `ProjectClient` that acts as one user, bound by their rights.

    Made by `create_client` and `create_server_client`; `set_tenant_context` gives it a tenant.
    """

    def __init__(self, url: str, key: str, options: Options, loan: Loan) -> None:
        self._user: str | None = None
        self._entered: UUID | None = None
        super().__init__(url, key, options, loan)
        self.auth.on_auth_state_change(self._follow)

    @property
    def tenant_id(self) -> UUID | None:
        """The tenant every request names, None before `set_tenant_context`."""
        pinned = self._loan.pinned(TENANT_HEADER)
        return None if pinned is None else UUID(pinned)

    def has_entered(self, tenant_id: UUID) -> bool:
        """Whether the user it acts as now was asked for in that tenant, and every request names it."""
        return self._entered == tenant_id

    def pin_tenant(self, tenant_id: UUID) -> None:
        """Name the tenant in every later request. For `set_tenant_context`, which asks first."""
        self._loan.pin(TENANT_HEADER, str(tenant_id))
        self._entered = tenant_id

    def acts_as(self, session: Session) -> None:
        """Take over a session, without asking anyone whether it is good."""
        self._user = session.user.id
        self.auth.adopt(session)

    def _follow(self, event: AuthChangeEvent, session: Session | None) -> None:
        """Ask for membership anew when another user signs in; every request still names the tenant."""
        del event
        user = session.user.id if session is not None else None
        if user != self._user:
            self._user, self._entered = user, None


def public_key(project: PublicProject) -> str:
    """The project's public key.

    Raises:
        SettingsError: there is none, or a secret key stands in its place.
    """
    key = project.anon_key
    rule = "missing" if key is None else "is a secret key" if is_secret(key.get_secret_value()) else ""
    if key is None or rule:
        raise SettingsError((SettingProblem("SUPABASE_ANON_KEY or SUPABASE_PUBLISHABLE_KEY", rule),))
    return key.get_secret_value()


def options_for(
    loan: Loan,
    headers: Mapping[str, str] | None = None,
    *,
    storage: AsyncSupportedStorage | None = None,
    storage_key: str = "",
    persist: bool = False,
) -> Options:
    """Options over a loan.

    Args:
        loan: the connections.
        headers: of each request, beside the usual ones.
        storage: where the sign-in client keeps what it must remember.
        storage_key: under which name.
        persist: whether that is the session too, refreshed for as long as the client lives.
    """
    options = Options(
        httpx_client=loan.http(),
        auto_refresh_token=persist,
        persist_session=persist,
        storage=storage or AsyncMemoryStorage(),
        storage_key=storage_key,
    )
    options.headers.update(headers or {})
    return options


async def create_client(
    project: PublicProject,
    *,
    pool: Pool,
    storage: AsyncSupportedStorage | None = None,
) -> Client:
    """A client for the public context: a program that runs where its one user sits, such as a command line.

    It signs in, stores the session, and refreshes it as long as it lives. Never on a server: there each
    request has a client of its own (`create_server_client`).

    Args:
        project: `PublicSettings`.
        pool: connections, which stay open when the client closes.
        storage: where the session outlives the program; in memory when None.

    Raises:
        SettingsError: the project has no public key.

    Example:
        >>> settings = load_settings(PublicSettings)
        >>> async with Pool() as pool, await create_client(settings, pool=pool) as client:
        ...     await client.auth.sign_in_with_password({"email": email, "password": password})
        ...     mine = await set_tenant_context(client, tenant_id)
        ...     documents = await mine.table("documents").select("id, title").execute()
    """
    key, loan = public_key(project), pool.lend(project.url)
    options = options_for(loan, storage=storage, storage_key=cookie_name(project.url), persist=True)
    client = Client(project.url, key, options, loan)
    await client.auth.initialize()
    return client
