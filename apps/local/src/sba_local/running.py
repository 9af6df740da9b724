"""What `sba-local up` and `sba-local demo` do: a stack, something in front of it, and signals."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

import click

from sba_local.binaries import require_supported_platform
from sba_local.console import Prefixed, Quiet, welcome
from sba_local.furnish import furnish
from sba_local.layout import DEFAULT_DATA_DIR, Ports
from sba_local.process import Command, KeptProcess, SpawnFailed
from sba_local.residents import ACME
from sba_local.settings import inherited_environment
from sba_local.stack import Plan, ServiceList, Stack

_NOT_FOUND = 127
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_TOKEN_TTL = 12 * 3600.0

Foreground = Callable[[Stack], Coroutine[Any, Any, int]]


@dataclass(frozen=True, slots=True)
class Wish:
    """What `up` was asked for.

    Attributes:
        data_dir: where to keep the stack; the default, or a throw-away with a command, when None.
        port_base: first of five ports; chosen when None.
        verbose: print the services' lines although there is a command.
        command: what to run; wait for a signal when empty.
        services: in place of the standard ones.
    """

    data_dir: Path | None = None
    port_base: int | None = None
    verbose: bool = False
    command: Sequence[str | Path] = ()
    services: ServiceList | None = None


def run_up(wish: Wish) -> int:
    """Run the stack and return the exit status: 0 after a signal, else the command's.

    Raises:
        LocalError: it could not be started, or a part of it keeps ending by itself.
    """
    require_supported_platform()
    listener = _listener(wish)
    try:
        return asyncio.run(_run(wish, listener).until_done())
    finally:
        listener.close()


def _run(wish: Wish, listener: Prefixed | Quiet) -> _Run:
    plan = Plan(
        inherited=inherited_environment(),
        listener=listener,
        data_dir=wish.data_dir or (None if wish.command else DEFAULT_DATA_DIR),
        ports=None if wish.port_base is None else Ports.from_base(wish.port_base),
        services=wish.services,
    )
    if not wish.command:
        return _Run(plan, partial(_stay, furnished=wish.services is None), has_command=False)
    return _Run(plan, lambda stack: _accompany(wish.command, stack), has_command=True)


def run_demo(*, verbose: bool = False) -> int:
    """Tell the demo's story against a throw-away stack and return its exit status.

    Raises:
        LocalError: the stack could not be started, or a part of it keeps ending by itself.
    """
    return run_up(Wish(verbose=verbose, command=[sys.executable, "-m", "sba_local.show"]))


def _listener(wish: Wish) -> Prefixed | Quiet:
    if not wish.command:
        return Prefixed(sys.stdout)
    return Prefixed(sys.stderr) if wish.verbose else Quiet(sys.stderr)


async def _stay(stack: Stack, *, furnished: bool) -> int:
    if furnished:
        await furnish(stack.environment, stack.issuer)
    token = stack.issuer.mint(user_id=ACME.user_id, tenant_id=ACME.tenant_id, role=ACME.role, ttl=_TOKEN_TTL)
    click.echo(welcome(stack.environment, tenant=ACME.slug, user=ACME.user_name, token=token))
    await asyncio.Event().wait()
    return 0


async def _accompany(arguments: Sequence[str | Path], stack: Stack) -> int:
    environment = {**inherited_environment(), **stack.environment}
    try:
        process = KeptProcess.start(Command(arguments, environment=environment, foreground=True), stdin=None)
    except SpawnFailed as error:
        click.echo(f"{arguments[0]}: {error.strerror}", err=True)
        return _NOT_FOUND
    try:
        return await process.ended()
    except asyncio.CancelledError:
        await asyncio.to_thread(process.stop)
        raise


class _Run:
    """One stack, what happens in front of it, and the signals that end it."""

    def __init__(self, plan: Plan, foreground: Foreground, *, has_command: bool) -> None:
        self._plan = plan
        self._foreground = foreground
        self._has_command = has_command
        self._received: int | None = None

    async def until_done(self) -> int:
        self._listen_for_signals()
        try:
            async with Stack(self._plan) as stack:
                return await self._in_front_of(stack)
        except asyncio.CancelledError:
            if self._received is None:
                raise
            return 128 + self._received if self._has_command else 0

    async def _in_front_of(self, stack: Stack) -> int:
        work = asyncio.create_task(self._foreground(stack))
        failure = asyncio.create_task(stack.failure())
        try:
            await asyncio.wait([work, failure], return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                return work.result()
            raise failure.result()
        finally:
            for task in (work, failure):
                task.cancel()
            await asyncio.gather(work, failure, return_exceptions=True)

    def _listen_for_signals(self) -> None:
        loop = asyncio.get_running_loop()
        task = cast("asyncio.Task[int]", asyncio.current_task())
        for number in _SIGNALS:
            loop.add_signal_handler(number, partial(self._on_signal, number, task))

    def _on_signal(self, number: int, task: asyncio.Task[Any]) -> None:
        if number == signal.SIGINT and self._has_command and _at_terminal():
            return
        if self._received is not None:
            os._exit(128 + number)
        self._received = number
        task.cancel()


def _at_terminal() -> bool:
    """Whether the command in front gets the terminal's Ctrl-C as well, and so decides what it means."""
    try:
        return os.tcgetpgrp(0) == os.getpgrp()
    except OSError:
        return False
