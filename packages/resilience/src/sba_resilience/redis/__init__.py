"""The guarded Redis client, the only place that imports redis-py."""

from sba_resilience.errors import RedisCommandError, RedisError, RedisUnavailable
from sba_resilience.redis.client import RedisClient, open_redis
from sba_resilience.redis.script import Script
from sba_resilience.redis.settings import RedisSettings
from sba_resilience.redis.streams import Reconnected, StreamEntry, StreamReader

__all__ = [
    "Reconnected",
    "RedisClient",
    "RedisCommandError",
    "RedisError",
    "RedisSettings",
    "RedisUnavailable",
    "Script",
    "StreamEntry",
    "StreamReader",
    "open_redis",
]
