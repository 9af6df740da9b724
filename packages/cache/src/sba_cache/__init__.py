"""Done this before: a tenant-keyed cache with versions that make invalidation one command."""

from sba_cache.cache import Cache
from sba_cache.errors import CacheError, NotCacheable
from sba_cache.key import CacheKey

__all__ = ["Cache", "CacheError", "CacheKey", "NotCacheable"]
