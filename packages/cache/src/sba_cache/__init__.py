"""Done this before: a tenant-keyed cache with versions that make invalidation one command."""

from sba_cache.adaptive import Adaptive
from sba_cache.cache import MISSING, Cache, Missing
from sba_cache.errors import CacheError, LoadsItself, LoadTimeout, NotCacheable, NotOfType
from sba_cache.key import CacheKey
from sba_cache.policy import CacheSettings, Compress, Policy
from sba_cache.warm import Warmed

__all__ = [
    "MISSING",
    "Adaptive",
    "Cache",
    "CacheError",
    "CacheKey",
    "CacheSettings",
    "Compress",
    "LoadTimeout",
    "LoadsItself",
    "Missing",
    "NotCacheable",
    "NotOfType",
    "Policy",
    "Warmed",
]
