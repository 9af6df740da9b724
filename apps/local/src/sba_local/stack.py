"""The supervisor: engines, issuer and services, up together and down together."""

import asyncio
import shutil
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self, TypeVar

from sba_local.directory import DirectoryLock, make_directory, throwaway_directory
from sba_local.engine import Engine
from sba_local.errors import EngineFailed, LocalError, PortTaken
from sba_local.identity import Issuer
from sba_local.layout import DATABASE, Ports, Secrets, http_url, write_environment
from sba_local.ports import LOOPBACK
from sba_local.postgres import EmbeddedPostgres
from sba_local.residents import ACME, GLOBEX
from sba_local.services import Listener, RunningService, Service, program
from sba_local.standin import StandInServer
from sba_local.valkey import EmbeddedValkey

T = TypeVar("T")

ServiceList = Callable[[Mapping[str, str]], Sequence[Service]]
Preparation = Callable[[EmbeddedPostgres, Secrets], Coroutine[Any, Any, None]]


@dataclass(frozen=True, slots=True)
class Plan:
    """What stack to run.

    Attributes:
        inherited: environment that services get under the stack's own.
        listener: is told each service's name and line.
        data_dir: where it is kept; None for a throw-away.
        ports: to use; chosen when None.
        services: what to start, given the stack's environment.
        preparation: makes the database ready, in place of `sba_local.preparation.prepare`.
        patience: seconds a service may take to get ready.
    """

    inherited: Mapping[str, str] = field(repr=False)
    listener: Listener
    data_dir: Path | None = None
    ports: Ports | None = None
    services: ServiceList | None = None
    preparation: Preparation | None = None
    patience: float = 60.0


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
        self._engines: list[Engine] = []
        self._services: list[RunningService] = []

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
        """Wait until a part of the stack ends by itself and return what to say about it."""
        services = [service.failure() for service in self._services]
        engines = [_engine_failure(engine) for engine in self._engines]
        watches: list[asyncio.Task[LocalError]] = [
            asyncio.create_task(part) for part in (*services, *engines)
        ]
        try:
            done, _ = await asyncio.wait(watches, return_when=asyncio.FIRST_COMPLETED)
            return next(iter(done)).result()
        finally:
            for watch in watches:
                watch.cancel()
            await asyncio.gather(*watches, return_exceptions=True)

    async def _start(self) -> None:
        throwaway = self._plan.data_dir is None
        self.data_dir = make_directory(self._plan.data_dir or throwaway_directory("stack"), mode=0o711)
        if throwaway:
            self._exits.callback(shutil.rmtree, self.data_dir, ignore_errors=True)
        lock = DirectoryLock(self.data_dir)
        await asyncio.to_thread(lock.acquire)
        self._exits.callback(lock.release)
        ports = self._choose_ports()
        secrets = Secrets.load(self.data_dir)
        self.issuer = Issuer.load(self.data_dir, http_url(ports.supabase))
        loading = asyncio.create_task(_to_the_end(asyncio.to_thread(self._load_preparation)))
        self._exits.push_async_callback(asyncio.wait, [loading])
        postgres, valkey = await self._start_engines(ports, throwaway=throwaway)
        await (await loading)(postgres, secrets)
        self.environment = self._describe(postgres, valkey, ports, secrets)
        write_environment(self.data_dir, self.environment, admin_url=postgres.url(DATABASE))
        await self._start_services(lock.server)

    def _load_preparation(self) -> Preparation:
        if self._plan.preparation is not None:
            return self._plan.preparation
        from sba_local.preparation import prepare  # noqa: PLC0415  # a second's work, done while Postgres starts

        return prepare

    def _choose_ports(self) -> Ports:
        if self._plan.ports is None:
            return Ports.anywhere() if self._plan.data_dir is None else Ports.next_free()
        if taken := self._plan.ports.taken():
            raise PortTaken(taken[1], wanted_for=taken[0])
        return self._plan.ports

    async def _start_engines(
        self, ports: Ports, *, throwaway: bool
    ) -> tuple[EmbeddedPostgres, EmbeddedValkey]:
        remove = [self.data_dir] if throwaway else []
        postgres = EmbeddedPostgres(
            self.data_dir / "postgres", port=ports.postgres, throwaway=throwaway, also_remove=remove
        )
        valkey = EmbeddedValkey(
            self.data_dir / "valkey", port=ports.valkey, throwaway=throwaway, also_remove=remove
        )
        standin = StandInServer(self.issuer, port=ports.supabase)
        await _all([self._start_engine(postgres), self._start_engine(valkey), self._start_standin(standin)])
        return postgres, valkey

    async def _start_engine(self, engine: Engine) -> None:
        self._exits.push_async_callback(asyncio.to_thread, engine.stop)
        await _to_the_end(asyncio.to_thread(engine.start))
        self._engines.append(engine)

    async def _start_standin(self, standin: StandInServer) -> None:
        self._exits.push_async_callback(standin.stop)
        await standin.start()

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
            "SBA_LOCAL_DATA_DIR": str(self.data_dir),
        }

    async def _start_services(self, lock: int) -> None:
        self._exits.push_async_callback(self._stop_services)
        environment = {**self._plan.inherited, "PYTHONUNBUFFERED": "1", **self._bytecode_cache()}
        for service in (self._plan.services or standard_services)(self.environment):
            self._services.append(
                RunningService(service, environment=environment, listener=self._plan.listener, hold=[lock])
            )
        await _all([service.ready(seconds=self._plan.patience) for service in self._services])

    def _bytecode_cache(self) -> Mapping[str, str]:
        """A kept stack keeps bytecode that may not be written beside its sources: it starts much faster."""
        if self._plan.data_dir is None or not self._plan.inherited.get("PYTHONDONTWRITEBYTECODE"):
            return {}
        return {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(self.data_dir / "bytecode")}

    async def _stop_services(self) -> None:
        await asyncio.gather(*(service.stop() for service in self._services))


async def _engine_failure(engine: Engine) -> LocalError:
    status = await engine.process.ended()
    return EngineFailed(engine.name, f"ended with status {status}", log=engine.last_lines())


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


async def _to_the_end(work: Coroutine[Any, Any, T]) -> T:
    """Wait for work that cannot be cancelled; a cancellation is passed on once it has ended."""
    task = asyncio.create_task(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise
