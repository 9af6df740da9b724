"""The supervisor: engines, issuer and services, up together and down together."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from sba_local import janitor
from sba_local.directory import DirectoryLock, make_directory, throwaway_directory
from sba_local.engine import Engine
from sba_local.errors import LocalError, PortTaken
from sba_local.identity import Issuer
from sba_local.layout import DATABASE, Ports, Secrets, http_url, write_environment
from sba_local.ports import LOOPBACK
from sba_local.postgres import EmbeddedPostgres
from sba_local.process import Command, Ending, KeptProcess
from sba_local.residents import ACME, GLOBEX
from sba_local.revival import EnginePart, Part, Rules, ServicePart, keep_up, to_the_end
from sba_local.services import Listener, Service, program
from sba_local.standin import StandInServer
from sba_local.valkey import EmbeddedValkey

if TYPE_CHECKING:
    from sba_local.supabase.functions import Handler
    from sba_local.supabase.gateway import Project

_LOCK = "server.lock"
_PATIENCE_OF_DELETION = 20.0

ServiceList = Callable[[Mapping[str, str]], Sequence[Service]]
Preparation = Callable[[EmbeddedPostgres, Secrets], Coroutine[Any, Any, None]]


@dataclass(frozen=True, slots=True)
class Plan:
    """What stack to run.

    Attributes:
        inherited: environment that services get under the stack's own.
        listener: is told each service's name and line, and what the stack says about itself.
        data_dir: where it is kept; None for a throw-away.
        ports: to use; chosen when None.
        services: what to start, given the stack's environment.
        preparation: makes the database ready, in place of `sba_local.preparation.prepare`.
        patience: seconds a service may take to get ready.
        rules: of starting a part that ended again.
        functions: of the Supabase stand-in, by name.
    """

    inherited: Mapping[str, str] = field(repr=False)
    listener: Listener
    data_dir: Path | None = None
    ports: Ports | None = None
    services: ServiceList | None = None
    preparation: Preparation | None = None
    patience: float = 60.0
    rules: Rules = field(default_factory=Rules)
    functions: Mapping[str, Handler] = field(default_factory=dict)


def standard_services(environment: Mapping[str, str]) -> Sequence[Service]:
    """The API, its worker and the WebSocket service."""
    login = {name: environment[name] for name in _SERVICE_NAMES}
    queue = {"SBA_QUEUE_DATABASE_URL": environment["SBA_QUEUE_DATABASE_URL"]}
    return [
        Service("api", [program("sba-api"), "serve"], login, f"{environment['SBA_API_URL']}/readyz"),
        Service("worker", [program("sba-api"), "worker"], login | queue),
        Service("ws", [program("sba-ws"), "serve"], login, f"{environment['SBA_WS_URL']}/readyz"),
    ]


_SERVICE_NAMES = (
    "SBA_API_HOST",
    "SBA_API_PORT",
    "SBA_WS_HOST",
    "SBA_WS_PORT",
    "SBA_DATABASE_URL",
    "REDIS_URL",
    "SUPABASE_URL",
    "SUPABASE_ANON_KEY",
    "SUPABASE_SERVICE_ROLE_KEY",
)


class Stack:
    """Everything on one machine, as an async context manager.

    Args:
        plan: what to run.

    Attributes:
        data_dir: in use once entered.
        environment: the stack's addresses and secrets, as written to `<data_dir>/env`.
        issuer: mints its tokens.
    """

    data_dir: Path
    environment: Mapping[str, str]
    issuer: Issuer

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._exits = AsyncExitStack()
        self._engines: list[EnginePart] = []
        self._services: list[ServicePart] = []

    async def __aenter__(self) -> Self:
        """Start everything.

        Raises:
            LocalError: it cannot be started; nothing is left running.
        """
        try:
            await self._start()
        except BaseException:
            await self._exits.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop the services, then the rest."""
        await self._exits.aclose()

    async def failure(self) -> LocalError:
        """Start again what ends by itself; return what to say once a part of the stack keeps doing that."""
        watches = [
            asyncio.create_task(keep_up(part, self._plan.rules, self._plan.listener)) for part in self._parts
        ]
        if not watches:
            await asyncio.Event().wait()
        try:
            done, _ = await asyncio.wait(watches, return_when=asyncio.FIRST_COMPLETED)
            return next(iter(done)).result()
        finally:
            for watch in watches:
                watch.cancel()
            await asyncio.gather(*watches, return_exceptions=True)

    @property
    def _parts(self) -> Sequence[Part]:
        return [*self._engines, *self._services]

    async def _start(self) -> None:
        throwaway = self._plan.data_dir is None
        self.data_dir = make_directory(self._plan.data_dir or throwaway_directory("stack"), mode=0o711)
        if throwaway:
            deletion = _delete_at_the_end(self.data_dir)
            self._exits.push_async_callback(asyncio.to_thread, deletion.stop)
        lock = DirectoryLock(self.data_dir)
        await asyncio.to_thread(lock.acquire)
        self._exits.callback(lock.release)
        ports = self._choose_ports()
        secrets = Secrets.load(self.data_dir)
        self.issuer = Issuer.load(self.data_dir, http_url(ports.supabase))
        loading = asyncio.create_task(to_the_end(asyncio.to_thread(self._load_preparation)))
        self._exits.push_async_callback(asyncio.wait, [loading])
        postgres, valkey = await self._start_engines(ports, lock.server, throwaway=throwaway)
        await (await loading)(postgres, secrets)
        await self._open_standin(postgres, secrets)
        self.environment = self._describe(postgres, valkey, ports, secrets)
        write_environment(self.data_dir, self.environment, admin_url=postgres.url(DATABASE))
        await self._start_services(lock.server)
        await self._make_sure_all_are_up()

    def _load_preparation(self) -> Preparation:
        if self._plan.preparation is not None:
            return self._plan.preparation
        from sba_local.preparation import prepare  # noqa: PLC0415  # a second's work, done while Postgres starts

        return prepare

    def _choose_ports(self) -> Ports:
        if self._plan.ports is None:
            return Ports.anywhere() if self._plan.data_dir is None else self._kept_ports()
        if taken := self._plan.ports.taken():
            raise PortTaken(taken[1], wanted_for=taken[0])
        return self._plan.ports

    def _kept_ports(self) -> Ports:
        """Those of the last time if they are free, so that the tokens of then, which name one, stay good."""
        kept = Ports.of_last_time(self.data_dir)
        return kept if kept is not None and kept.taken() is None else Ports.next_free()

    async def _start_engines(
        self, ports: Ports, lock: int, *, throwaway: bool
    ) -> tuple[EmbeddedPostgres, EmbeddedValkey]:
        place, hold = self.data_dir, [lock]
        postgres = EmbeddedPostgres(
            place / "postgres", port=ports.postgres, throwaway=throwaway, discard=False, hold=hold
        )
        valkey = EmbeddedValkey(
            place / "valkey", port=ports.valkey, throwaway=throwaway, discard=False, hold=hold
        )
        self._standin = StandInServer(self.issuer, port=ports.supabase)
        await _all([self._start_engine(postgres), self._start_engine(valkey), self._start_standin()])
        return postgres, valkey

    async def _start_engine(self, engine: Engine) -> None:
        self._exits.push_async_callback(asyncio.to_thread, engine.stop)
        await to_the_end(asyncio.to_thread(engine.start))
        self._engines.append(EnginePart(engine))

    async def _start_standin(self) -> None:
        self._exits.push_async_callback(self._standin.stop)
        await self._standin.start()

    async def _open_standin(self, postgres: EmbeddedPostgres, secrets: Secrets) -> None:
        project = await to_the_end(asyncio.to_thread(self._project, postgres, secrets))
        self._standin.open(project)

    def _project(self, postgres: EmbeddedPostgres, secrets: Secrets) -> Project:
        from sba_local.supabase.gateway import Keys, Project  # noqa: PLC0415  # half a second's work, in a thread
        from sba_local.supabase.installing import Logins  # noqa: PLC0415  # as above

        return Project(
            logins=Logins.of(postgres.url(DATABASE), secrets.service_key),
            keys=Keys(anon=secrets.anon_key, service=secrets.service_key),
            files=self.data_dir / "storage",
            functions=self._plan.functions,
        )

    def _describe(
        self, postgres: EmbeddedPostgres, valkey: EmbeddedValkey, ports: Ports, secrets: Secrets
    ) -> Mapping[str, str]:
        return {
            "SBA_API_URL": http_url(ports.api),
            "SBA_API_HOST": LOOPBACK,
            "SBA_API_PORT": str(ports.api),
            "SBA_WS_URL": http_url(ports.ws),
            "SBA_WS_HOST": LOOPBACK,
            "SBA_WS_PORT": str(ports.ws),
            "SBA_DATABASE_URL": postgres.url(DATABASE, "sba_app", secrets.app),
            "SBA_QUEUE_DATABASE_URL": postgres.url(DATABASE, "sba_worker", secrets.worker),
            "SBA_MIGRATION_DATABASE_URL": postgres.url(DATABASE, "sba_migrator", secrets.migrator),
            "REDIS_URL": valkey.url,
            "SUPABASE_URL": http_url(ports.supabase),
            "SUPABASE_ANON_KEY": secrets.anon_key,
            "SUPABASE_SERVICE_ROLE_KEY": secrets.service_key,
            "SBA_TENANT_A": str(ACME.tenant_id),
            "SBA_TENANT_B": str(GLOBEX.tenant_id),
            "SBA_USER_A": str(ACME.user_id),
            "SBA_USER_B": str(GLOBEX.user_id),
            "SBA_EMAIL_A": ACME.email,
            "SBA_EMAIL_B": GLOBEX.email,
            "SBA_USER_PASSWORD": secrets.user_password,
            "SBA_LOCAL_DATA_DIR": str(self.data_dir),
        }

    async def _start_services(self, lock: int) -> None:
        self._exits.push_async_callback(self._stop_services)
        environment = {**self._plan.inherited, "PYTHONUNBUFFERED": "1", **self._bytecode_cache()}
        for service in (self._plan.services or standard_services)(self.environment):
            self._services.append(
                ServicePart(service, environment=environment, listener=self._plan.listener, hold=[lock])
            )
        await _all([service.ready(seconds=self._plan.patience) for service in self._services])

    async def _make_sure_all_are_up(self) -> None:
        for part in self._parts:
            if part.has_ended():
                raise await part.failure()

    def _bytecode_cache(self) -> Mapping[str, str]:
        """A kept stack keeps bytecode that may not be written beside its sources: it starts much faster."""
        if self._plan.data_dir is None or not self._plan.inherited.get("PYTHONDONTWRITEBYTECODE"):
            return {}
        return {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(self.data_dir / "bytecode")}

    async def _stop_services(self) -> None:
        await asyncio.gather(*(service.stop() for service in self._services))


def _delete_at_the_end(directory: Path) -> KeptProcess:
    arguments: list[str | Path] = [sys.executable, "-I", "-S", janitor.__file__, directory, directory / _LOCK]
    rungs = ((signal.SIGTERM, _PATIENCE_OF_DELETION),)
    return KeptProcess.start(
        Command(arguments, ending=Ending(stop=rungs, abandon=rungs), cwd=Path("/"), remove=[directory])
    )


async def _all(work: Sequence[Coroutine[Any, Any, None]]) -> None:
    """Do all of it at once; when one part fails or we are cancelled, end the others before saying so."""
    tasks = [asyncio.create_task(part) for part in work]
    try:
        await asyncio.gather(*tasks)
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise
