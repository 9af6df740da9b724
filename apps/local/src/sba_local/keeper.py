"""A process that starts one command and never lets it outlive whoever asked for it.

Run by path, on its own, with the standard library only. The asker holds the other end of a pipe: a line on
it means "stop in good order", its end means "the asker is gone", however it went. A pipe belongs to a
process, not to a thread, and works alike on Linux and macOS; Linux's parent-death signal guards the command
against the loss of its keeper.
"""

import contextlib
import ctypes
import json
import os
import selectors
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, NotRequired, TypedDict

_PR_SET_PDEATHSIG = 1

Ladder = Sequence[tuple[int, float]]


class Order(TypedDict):
    """What to start and how to end it.

    `stop` and `abandon` are ladders: a signal number, then seconds to wait before the next rung; SIGKILL ends
    both. `report` stays open until the keeper ends, so that its end of file is the news of that.
    """

    command: list[str]
    cwd: str
    control: int
    report: int
    parent: int
    stop: list[tuple[int, float]]
    abandon: list[tuple[int, float]]
    foreground: bool
    remove: list[str]
    user: NotRequired[int]
    group: NotRequired[int]


def main(argv: Sequence[str]) -> int:
    """Carry out the order in `argv[1]` (JSON) and return the exit status to end with."""
    order: Order = json.loads(argv[1])
    wakeup = _listen_for_signals()
    try:
        child = _start(order)
    except OSError as error:
        _report(order, f"failed {error.errno or 0} {error.strerror}")
        return 127
    _report(order, f"started {child.pid}")
    try:
        ladder = _wait_for_reason(order, child, wakeup)
        _climb(child, ladder, wakeup)
    finally:
        _sweep(order, child)
    return child.returncode if child.returncode >= 0 else 128 - child.returncode


def _listen_for_signals() -> int:
    readable, writable = os.pipe()
    os.set_blocking(readable, False)
    os.set_blocking(writable, False)
    signal.set_wakeup_fd(writable, warn_on_full_buffer=False)
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: None)
    return readable


def _identity(order: Order) -> dict[str, Any]:
    identity: dict[str, Any] = {} if order["foreground"] else {"process_group": 0}
    if "user" in order:
        identity |= {"user": order["user"], "group": order["group"], "extra_groups": []}
    return identity


def _start(order: Order) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        order["command"],
        cwd=order["cwd"],
        preexec_fn=_die_with_keeper(order["abandon"]),  # noqa: PLW1509  # the keeper has one thread
        **_identity(order),
    )


def _die_with_keeper(ladder: Ladder) -> Callable[[], None]:
    keeper = os.getpid()
    prctl = ctypes.CDLL(None).prctl if sys.platform == "linux" else None
    number = ladder[0][0] if ladder else signal.SIGKILL

    def tie() -> None:
        if prctl is not None:
            prctl(_PR_SET_PDEATHSIG, number)
        if os.getppid() != keeper:
            os._exit(1)

    return tie


def _report(order: Order, line: str) -> None:
    with contextlib.suppress(BrokenPipeError):
        os.write(order["report"], f"{line}\n".encode())


def _wait_for_reason(order: Order, child: subprocess.Popen[bytes], wakeup: int) -> Ladder:
    """Return the ladder to climb once the child has ended, a stop is asked for, or the asker is gone."""
    with selectors.DefaultSelector() as selector:
        for descriptor in (wakeup, order["control"], *_asker(order["parent"])):
            selector.register(descriptor, selectors.EVENT_READ)
        while child.poll() is None:
            ready = {key.fd for key, _ in selector.select()}
            if wakeup in ready and signal.SIGTERM in os.read(wakeup, 64):
                return order["stop"]
            if order["control"] in ready:
                return order["stop"] if os.read(order["control"], 64) else order["abandon"]
            if ready - {wakeup}:
                return order["abandon"]
    return ()


def _asker(parent: int) -> list[int]:
    """A descriptor that becomes readable when the asker ends, where the system has such a thing."""
    if sys.platform != "linux":
        return []
    try:
        return [os.pidfd_open(parent)] if os.getppid() == parent else []
    except OSError:
        return []


def _climb(child: subprocess.Popen[bytes], ladder: Ladder, wakeup: int) -> None:
    for number, patience in ladder:
        if child.poll() is not None:
            return
        child.send_signal(number)
        _await_exit(child, patience, wakeup)


def _await_exit(child: subprocess.Popen[bytes], patience: float, wakeup: int) -> None:
    deadline = time.monotonic() + patience
    with selectors.DefaultSelector() as selector:
        selector.register(wakeup, selectors.EVENT_READ)
        while child.poll() is None and (left := deadline - time.monotonic()) > 0:
            if selector.select(left):
                os.read(wakeup, 64)


def _sweep(order: Order, child: subprocess.Popen[bytes]) -> None:
    """End what is left of the command, its group included, and what it was allowed to write for a while."""
    if child.poll() is None:
        child.kill()
        child.wait()
    if not order["foreground"]:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, signal.SIGKILL)
    for path in order["remove"]:
        shutil.rmtree(path, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv))
