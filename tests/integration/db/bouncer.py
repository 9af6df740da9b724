"""A PgBouncer in transaction mode: the real program, with few connections to the server for many clients."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg

from sba_local.ports import free_port
from tests.fixtures.databases import Urls

PROGRAM = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
SERVERS = 4
CONFIGURATION = """
[databases]
{name} = host={host} port={port} dbname={name}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {listen}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = {directory}/users.txt
admin_users = {user}
pool_mode = transaction
default_pool_size = {servers}
max_client_conn = 200
ignore_startup_parameters = extra_float_digits
server_reset_query_always = 0
"""


@contextmanager
def bouncer(urls: Urls, *, servers: int = SERVERS) -> Iterator[str]:
    """The application's DSN through a pooler that has so many connections to the server."""
    assert PROGRAM
    parts = urlsplit(urls.app)
    listen = free_port()
    through = urlunsplit(parts._replace(netloc=f"{parts.username}:{parts.password}@127.0.0.1:{listen}"))
    with tempfile.TemporaryDirectory(prefix="sba-bouncer-") as directory:
        arguments = configured(Path(directory), urls, listen=listen, servers=servers)
        process = subprocess.Popen([PROGRAM, "-q", *arguments])
        try:
            wait_for(process, through)
            yield through
        finally:
            process.terminate()
            process.wait(timeout=20)


def configured(directory: Path, urls: Urls, *, listen: int, servers: int) -> list[str]:
    """Write what it reads; the arguments to start it with, as somebody who is not root."""
    parts = urlsplit(urls.app)
    settings = CONFIGURATION.format(
        name=urls.name,
        host=parts.hostname,
        port=parts.port,
        listen=listen,
        directory=directory,
        user=parts.username,
        servers=servers,
    )
    (directory / "pgbouncer.ini").write_text(settings)
    (directory / "users.txt").write_text(f'"{parts.username}" "{parts.password}"\n')
    directory.chmod(0o755)
    other = ["-u", "nobody"] if os.geteuid() == 0 and pwd.getpwnam("nobody") else []
    return [*other, str(directory / "pgbouncer.ini")]


def wait_for(process: subprocess.Popen[bytes], url: str) -> None:
    """Until it lets a client through to the server."""
    for _ in range(200):
        assert process.poll() is None, "pgbouncer has ended"
        with suppress(psycopg.OperationalError), psycopg.connect(url, connect_timeout=2):
            return
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=0.05)
    raise AssertionError("pgbouncer lets nobody through")
