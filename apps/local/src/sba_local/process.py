"""A command that cannot outlive this process, nor depends on the thread that happened to start it."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Self

from sba_local import keeper

Rungs = Sequence[tuple[signal.Signals, float]]

_KEEPER = Path(keeper.__file__)


@dataclass(frozen=True, slots=True)
class Ending:
    """How a command is ended: rungs of (signal, seconds to wait), SIGKILL after the last.

    Attributes:
        stop: when its owner asks for it.
        abandon: when its owner is gone; shorter, nobody is waiting for a clean end.
    """

    stop: Rungs = ((signal.SIGTERM, 10.0),)
    abandon: Rungs = ((signal.SIGTERM, 2.0),)


@dataclass(frozen=True, slots=True)
class Account:
    """The unprivileged user a command runs as."""

    name: str
    uid: int
    gid: int


@dataclass(frozen=True, slots=True)
class Command:
    """What to run and how.

    Attributes:
        arguments: program and arguments; no secret belongs here, every user of the machine can read it.
        environment: its whole environment; ours when None.
        cwd: its working directory; ours when None.
        ending: how to end it.
        account: the user to become, which only root can.
        foreground: leave it in our process group, so that it has the terminal and its Ctrl-C.
        remove: directories to delete once it has ended, even if we are gone by then.
        hold: descriptors kept open until it has ended: the locks it stands for.
    """

    arguments: Sequence[str | Path]
    environment: Mapping[str, str] | None = field(default=None, repr=False)
    cwd: Path | None = None
    ending: Ending = field(default_factory=Ending)
    account: Account | None = None
    foreground: bool = False
    remove: Sequence[Path] = ()
    hold: Sequence[int] = ()


class SpawnFailed(OSError):
    """The command could not be executed; `errno` and `strerror` say why."""


class KeptProcess:
    """A running command, its keeper and the pipes between us.

    Attributes:
        pid: process id of the command itself.
    """

    def __init__(self, popen: subprocess.Popen[bytes], control: int, report: int, pid: int) -> None:
        self._popen = popen
        self._control: int | None = control
        self._report = report
        self.pid = pid

    @classmethod
    def start(
        cls,
        command: Command,
        *,
        stdin: int | IO[bytes] | None = subprocess.DEVNULL,
        stdout: int | IO[bytes] | None = None,
        stderr: int | IO[bytes] | None = None,
    ) -> Self:
        """Start `command` and return once it runs; the streams are as for `subprocess.Popen`.

        Raises:
            SpawnFailed: the program cannot be executed.
        """
        control_read, control_write = os.pipe()
        report_read, report_write = os.pipe()
        order = _order(command, control=control_read, report=report_write)
        try:
            popen = subprocess.Popen(
                [sys.executable, "-I", _KEEPER, json.dumps(order)],
                env=command.environment,
                start_new_session=not command.foreground,
                pass_fds=[control_read, report_write, *command.hold],
                stdin=stdin,
                stdout=stdout,
                stderr=stderr,
            )
        finally:
            os.close(control_read)
            os.close(report_write)
        return cls(popen, control_write, report_read, _await_report(popen, report_read, control_write))

    @property
    def stdout(self) -> IO[bytes] | None:
        """The command's output, when it was asked for with `subprocess.PIPE`."""
        return self._popen.stdout

    def poll(self) -> int | None:
        """Exit status (128 + n after signal n), None while it runs."""
        return self._popen.poll()

    def wait(self) -> int:
        """Wait for the end and return the exit status."""
        status = self._popen.wait()
        self._let_go()
        return status

    async def ended(self) -> int:
        """Wait for the end without holding up the event loop, and return the exit status."""
        if self._control is not None:
            await _end_of_file(self._report)
        return self.wait()

    def ask_to_stop(self) -> None:
        """Ask for an orderly end; returns at once, `wait` for it."""
        if self._control is not None:
            with contextlib.suppress(BrokenPipeError):
                os.write(self._control, b"stop\n")

    def stop(self) -> int:
        """End the command in good order, by force if it does not obey, and return its exit status."""
        self.ask_to_stop()
        return self.wait()

    def _let_go(self) -> None:
        if self._control is not None:
            os.close(self._control)
            os.close(self._report)
            self._control = None


def _order(command: Command, *, control: int, report: int) -> keeper.Order:
    order: keeper.Order = {
        "command": [os.fspath(part) for part in command.arguments],
        "cwd": os.fspath(command.cwd or Path.cwd()),
        "control": control,
        "report": report,
        "parent": os.getpid(),
        "stop": [(int(number), seconds) for number, seconds in command.ending.stop],
        "abandon": [(int(number), seconds) for number, seconds in command.ending.abandon],
        "foreground": command.foreground,
        "remove": [os.fspath(path) for path in command.remove],
    }
    if command.account is not None:
        order["user"], order["group"] = command.account.uid, command.account.gid
    return order


def _await_report(popen: subprocess.Popen[bytes], report: int, control: int) -> int:
    """The command's process id; what comes after it on the pipe is its end of file, when the keeper ends."""
    line = b""
    while not line.endswith(b"\n") and (chunk := os.read(report, 1)):
        line += chunk
    word, _, rest = line.decode().strip().partition(" ")
    if word == "started":
        return int(rest)
    os.close(control)
    os.close(report)
    popen.communicate()
    number, _, message = rest.partition(" ")
    raise SpawnFailed(int(number or 0), message or "its keeper ended before it began")


async def _end_of_file(descriptor: int) -> None:
    loop = asyncio.get_running_loop()
    reached: asyncio.Future[None] = loop.create_future()
    watched = os.dup(descriptor)
    loop.add_reader(watched, _settle, reached)
    try:
        await reached
    finally:
        loop.remove_reader(watched)
        os.close(watched)


def _settle(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
