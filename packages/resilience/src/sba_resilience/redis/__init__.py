"""The guarded Redis client, the only place that imports redis-py."""

from sba_resilience.errors import (
    RedisCommandError,
    RedisError,
    RedisUnavailable,
    UnshareableCommand,
    WrongEventLoop,
)
from sba_resilience.redis.client import RedisClient, open_redis
from sba_resilience.redis.probe import Capabilities, Missing
from sba_resilience.redis.script import Script
from sba_resilience.redis.settings import RedisSettings
from sba_resilience.redis.streams import Reconnected, StreamEntry, StreamReader
from sba_resilience.redis.watch import KeyWatch

__all__ = [
    "Capabilities",
    "KeyWatch",
    "Missing",
    "Reconnected",
    "RedisClient",
    "RedisCommandError",
    "RedisError",
    "RedisSettings",
    "RedisUnavailable",
    "Script",
    "StreamEntry",
    "StreamReader",
    "UnshareableCommand",
    "WrongEventLoop",
    "open_redis",
]
