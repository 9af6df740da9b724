"""How the one Redis client is configured."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class RedisSettings:
    """Where the server is and how long anyone may wait for it.

    Attributes:
        url: `redis://`, `rediss://` (TLS) or `unix://`, with user, password and database; never shown. A
            cluster is `redis+cluster://host:port,host:port`, a primary known to sentinels
            `redis+sentinel://host:port,host:port/service/database`; `rediss+…` is TLS to all of them.
        command_timeout: Seconds a command may take, waiting for a connection included.
        connect_timeout: Seconds for TCP, TLS, authentication and a first PING together.
        max_connections: Connections held at once, to each node of a cluster: one carries all commands, each
            stream reader has its own.
        client_name: Shown by `CLIENT LIST`.
        sentinel_username: Of the sentinels, where it is not in the URL's query.
        sentinel_password: Of the sentinels, where it is not in the URL's query as `sentinel_password`; that
            of the servers is never sent to them.
    """

    url: str = field(repr=False)
    command_timeout: float = 0.04
    connect_timeout: float = 1.0
    max_connections: int = 8
    client_name: str = "sba"
    sentinel_username: str = ""
    sentinel_password: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        if min(self.command_timeout, self.connect_timeout) <= 0 or self.max_connections < 1:
            raise ValueError("time limits must be above 0 and max_connections at least 1")
