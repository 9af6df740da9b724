"""Ports on the loopback address."""

import os
import secrets
import socket
from typing import Final

LOOPBACK = "127.0.0.1"
CHOSEN_FROM: Final = range(10_000, 32_000)
"""Below what systems give to outgoing connections, which may take a port between the look and the use."""
LOOKING: Final = 16
"""Processes beside each other that draw from ports of their own; a cluster's second port is of the same."""


def is_free(port: int) -> bool:
    """Whether a server could listen on `port` now.

    It is bound only: a process that another thread forks meanwhile has the socket, too, until it becomes
    another program, and would go on listening for that time.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as candidate:
        candidate.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            candidate.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def free_port(*, attempts: int = 200) -> int:
    """A port nobody listens on, at random: another server may still be quicker to take it.

    Raises:
        OSError: none found in `attempts` draws.
    """
    mine = CHOSEN_FROM[os.getpid() % LOOKING :: LOOKING]
    for _ in range(attempts):
        port = secrets.choice(mine)
        if is_free(port):
            return port
    raise OSError(f"no free port in {attempts} draws from {CHOSEN_FROM.start} to {CHOSEN_FROM.stop}")


def free_range(base: int, count: int, *, attempts: int = 200) -> int:
    """The first port at or after `base`, in steps of `count`, that starts `count` free ports.

    Raises:
        OSError: none found in `attempts` steps.
    """
    for start in range(base, min(base + attempts * count, 65536 - count), count):
        if all(is_free(port) for port in range(start, start + count)):
            return start
    raise OSError(f"no {count} consecutive free ports from {base} on")
