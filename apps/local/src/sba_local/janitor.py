"""A process that deletes a throw-away stack once nothing of it runs any more, however its owner ended.

Run by path, on its own, with the standard library only, under a keeper, whose SIGTERM means "the owner has
stopped, or is gone". What the stack started may be on its way out then, and may die and be started again
before; the keepers of all of it hold the stack's lock until they have ended.
"""

import fcntl
import os
import shutil
import signal
import sys
from collections.abc import Sequence
from pathlib import Path


def main(argv: Sequence[str]) -> int:
    """Wait for SIGTERM, then for the lock `argv[2]`, and delete `argv[1]` and what its links lead to."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    signal.sigwait({signal.SIGTERM})
    directory, lock = Path(argv[1]), argv[2]
    if directory.exists():
        fcntl.flock(os.open(lock, os.O_RDWR | os.O_CREAT, 0o600), fcntl.LOCK_EX)
        for link in directory.glob("*/home"):
            shutil.rmtree(link.resolve(), ignore_errors=True)
        shutil.rmtree(directory, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
