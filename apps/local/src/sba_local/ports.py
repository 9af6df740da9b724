"""Ports on the loopback address."""

import socket

LOOPBACK = "127.0.0.1"


def is_free(port: int) -> bool:
    """Whether a server could listen on `port` now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as candidate:
        candidate.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            candidate.bind((LOOPBACK, port))
            candidate.listen(1)
        except OSError:
            return False
    return True


def free_port() -> int:
    """A port nobody listens on; another process may still be quicker to take it."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as candidate:
        candidate.bind((LOOPBACK, 0))
        port: int = candidate.getsockname()[1]
    return port


def free_range(base: int, count: int, *, attempts: int = 200) -> int:
    """The first port at or after `base`, in steps of `count`, that starts `count` free ports.

    Raises:
        OSError: none found in `attempts` steps.
    """
    for start in range(base, min(base + attempts * count, 65536 - count), count):
        if all(is_free(port) for port in range(start, start + count)):
            return start
    raise OSError(f"no {count} consecutive free ports from {base} on")
