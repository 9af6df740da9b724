"""Get a value from the process or from Redis, or load it once and keep it."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Awaitable, Callable, Coroutine, Hashable, Iterable, Iterator
from enum import Enum
from functools import partial
from types import UnionType
from typing import TYPE_CHECKING, Any, Final, Literal, ParamSpec, TypeVar, overload

from sba_cache.adaptive import Adaptive
from sba_cache.answers import Answers
from sba_cache.coherence import Coherence
from sba_cache.decorator import cached_by
from sba_cache.key import CacheKey, TenantId, check_tags, version_key
from sba_cache.lease import Leases, Names
from sba_cache.loads import Loads
from sba_cache.local import Local, kind_of
from sba_cache.policy import CacheSettings, Policy
from sba_cache.reading import Question, Reader
from sba_cache.versions import Versions
from sba_cache.warm import Warmed, warm_all
from sba_resilience.errors import RedisError
from sba_resilience.redis import RedisClient

if TYPE_CHECKING:
    from typing import _SpecialForm

P = ParamSpec("P")
T = TypeVar("T")
H = TypeVar("H", bound=Hashable)  # so that dict[str, Any] fits one form only

DEFAULT: Final = Policy()


class Missing(Enum):
    """What `Cache.get` gives when there is no value; None may be one."""

    MISSING = "missing"


MISSING: Final = Missing.MISSING


class Cache:
    """Values by tenant, namespace and question; Redis being away costs speed, never an answer.

    A value is kept in the process and in Redis, and carries the versions its tenant, namespace and tags had
    before its load began: after `invalidate`, nothing loaded before it is ever read from Redis. What is
    kept in the process is believed while the server's client tracking tells of changes, and for a short
    window without it.

    Args:
        redis: The guarded client; the cache ends with it.
        settings: Bounds in this process.
        clock: Monotonic seconds, the same as the client's.
        now: The server's unix seconds, or None while unknown; by default as the client learnt them.
    """

    def __init__(
        self,
        redis: RedisClient,
        settings: CacheSettings | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float | None] | None = None,
    ) -> None:
        settings = settings or CacheSettings()
        self._clock = clock
        self._local = Local(settings.l1_bytes, settings.l1_entries)
        self._recall = self._local.get
        self._coherence = Coherence(redis, clock, window=settings.window, listens=self._local.keeps)
        self._versions = Versions(redis, self._coherence, ttl=settings.version_ttl, clock=clock)
        self._leases = Leases(redis, seconds=settings.lease, version_ttl=settings.version_ttl)
        self._reader = Reader(
            redis,
            coherence=self._coherence,
            versions=self._versions,
            local=self._local,
            clock=clock,
            now=now or redis.server_time,
        )
        self._loads = Loads(
            reader=self._reader,
            leases=self._leases,
            coherence=self._coherence,
            versions=self._versions,
            local=self._local,
            settings=settings,
            clock=clock,
        )
        self._answers = Answers(
            reader=self._reader,
            loads=self._loads,
            coherence=self._coherence,
            local=self._local,
            clock=clock,
        )

    @overload
    async def get_or_load(
        self,
        key: CacheKey,
        loader: Callable[[], Awaitable[T]],
        *,
        type: type[T],
        ttl: float | Adaptive = ...,
        tags: tuple[str, ...] = ...,
        policy: Policy = ...,
    ) -> T: ...

    @overload
    async def get_or_load(
        self,
        key: CacheKey,
        loader: Callable[[], Awaitable[T]],
        *,
        type: UnionType | _SpecialForm,
        ttl: float | Adaptive = ...,
        tags: tuple[str, ...] = ...,
        policy: Policy = ...,
    ) -> T: ...

    @overload
    async def get_or_load(
        self,
        key: CacheKey,
        loader: Callable[[], Awaitable[H | None]],
        *,
        type: type[H] | UnionType,
        ttl: float | Adaptive = ...,
        tags: tuple[str, ...] = ...,
        policy: Policy = ...,
    ) -> H | None: ...

    @overload
    async def get_or_load(
        self,
        key: CacheKey,
        loader: Callable[[], Awaitable[T]],
        *,
        ttl: float | Adaptive = ...,
        tags: tuple[str, ...] = ...,
        policy: Policy = ...,
    ) -> T: ...

    async def get_or_load(
        self,
        key: CacheKey,
        loader: Callable[[], Awaitable[Any]],
        *,
        ttl: float | Adaptive = 30.0,
        type: Any = Any,  # noqa: A002 - what it is, or anything
        tags: tuple[str, ...] = (),
        policy: Policy = DEFAULT,
    ) -> Any:
        """The value, from the process, from Redis or from `loader`.

        Concurrent callers of one key share one load, across processes too. Each caller gets a value of its
        own unless nobody can change it, and the same value however it was found: as its type is decoded.

        Args:
            key: The question.
            loader: Answers it; its errors are the caller's and are not kept.
            ttl: Seconds to keep the answer, or how to learn them.
            type: What the answer is; stored bytes are validated against it. Without it the answer is kept
                as plain JSON-like data. Type checkers know a union best by a name: `Key = int | str`.
            tags: What `invalidate` can name it by, besides its namespace; the same for every use of a key.
            policy: What may be served beyond the ttl, and how long the loader may take.

        Raises:
            NotCacheable: The type or value has no encoding.
            NotOfType: The answer is not of the type.
            ValueError: `ttl` is not above 0; noticed when it is needed.
            TypeError: `tags` is no tuple of texts.
            LoadTimeout: The loader took longer than the policy allows.
            LoadsItself: The loader asked for the same key, and waited for itself.
            BulkheadFull: Redis is away, and more loads are under way and waiting than the settings allow.
            DeadlineExceeded: The current deadline passed first.
        """
        entry = self._recall(key)
        if entry is not None and (entry.type is type or entry.type == type) and entry.tags == tags:
            now, watch = self._clock(), self._coherence.watch
            if (
                now < entry.until
                and entry.generation == entry.scope.generation
                and (now < entry.trusted_until or (entry.epoch == watch.epoch and now < watch.live_until))
            ):
                entry.hits += 1
                entry.counted.count += 1
                return entry.answer()
        answer = await self._answers.get(self._question(key, type, tags, ttl, policy), loader, entry)
        answer.hits += 1
        return answer.answer()

    @overload
    async def get(
        self, key: CacheKey, type: type[T], *, tags: tuple[str, ...] = ...
    ) -> T | Literal[Missing.MISSING]: ...

    @overload
    async def get(self, key: CacheKey, type: Any = ..., *, tags: tuple[str, ...] = ...) -> Any: ...  # noqa: ANN401 - as plain data, or as a form that no checker knows

    async def get(
        self,
        key: CacheKey,
        type: Any = Any,  # noqa: A002 - what it is, or anything
        *,
        tags: tuple[str, ...] = (),
    ) -> Any:
        """The value if it is there and fresh, or `MISSING`; also when Redis is away.

        Args:
            key: The question.
            type: As it was kept.
            tags: As it was kept.
        """
        asked = self._question(key, type, tags, 1.0, DEFAULT)
        try:
            entry = await self._answers.fresh(asked)
        except RedisError:
            asked.meter.error.count += 1
            return MISSING
        if entry is None:
            return MISSING
        entry.hits += 1
        return entry.answer()

    async def set(
        self,
        key: CacheKey,
        value: T,
        *,
        ttl: float = 30.0,
        type: type[T] | UnionType | Any = Any,  # noqa: A002, ANN401 - what it is, or anything
        tags: tuple[str, ...] = (),
        policy: Policy = DEFAULT,
    ) -> None:
        """Keep a value, whatever is there and whoever is loading it; other nodes look again.

        One that is larger than the settings allow is not kept, nor is what it replaces.

        Args:
            key: The question.
            value: Its answer.
            ttl: Seconds to keep it.
            type: What it is; read it as the same.
            tags: What `invalidate` can name it by.
            policy: How long it may be of use beyond, and whether it is compressed.

        Raises:
            NotCacheable: The type or value has no encoding.
            NotOfType: The value is not of the type.
            ValueError: `ttl` is not above 0.
            TypeError: `tags` is no tuple of texts.
            RedisUnavailable: It may not have happened.
        """
        asked = self._question(key, type, tags, ttl, policy)
        sealed = asked.codec.seal(value, policy.compress)
        asked.codec.checked(sealed, value)
        await self._versions.settle(asked.scope)
        if not self._loads.fits(sealed):
            asked.meter.unsaved.count += 1
            await self.delete(key)
            return
        now = await self._reader.server_now()
        life = self._loads.life(asked, sealed, None, b"", now)
        versions = len(asked.scope.version_keys)
        head = asked.codec.head(sealed, versions=versions, stored_at=now, ttl=life.ttl)
        with self._replacing(asked.names, key):
            await self._leases.put(asked.names, head, sealed.stored, keep=life.keep)

    async def delete(self, key: CacheKey) -> None:
        """Forget one value, whatever its tags; a load of it that is under way does not become visible.

        Raises:
            RedisUnavailable: It may not have happened.
        """
        names = Names(self._coherence.scope(key, ()), key.digest)
        with self._replacing(names, key):
            await self._leases.remove(names)

    async def invalidate(
        self, tenant_id: TenantId, namespace: str | None = None, *, tag: str | None = None
    ) -> None:
        """Make values stale with one command: a tenant's, those of one namespace, or those with a tag.

        Args:
            tenant_id: Whose values.
            namespace: Only of this kind.
            tag: Only those loaded with this tag.

        Raises:
            RedisUnavailable: It may not have happened yet. It is sent again until it has, and meanwhile
                this process serves none of these values; other processes may.
            ValueError: Both a namespace and a tag are given, or something is empty.
        """
        await self._versions.bump(version_key(tenant_id, namespace, tag=tag))

    def cached(
        self,
        namespace: str,
        *,
        tenant: str = "tenant_id",
        ignore: Iterable[str] = (),
        ttl: float | Adaptive = 30.0,
        tags: tuple[str, ...] = (),
        policy: Policy = DEFAULT,
    ) -> Callable[[Callable[P, Awaitable[T]]], Callable[P, Coroutine[Any, Any, T]]]:
        """Keep the answers of an async function, by its arguments; typed by its return annotation.

        Args:
            namespace: The kind of value.
            tenant: The parameter that says whose value it is.
            ignore: Parameters that do not change the answer, such as `self` or a session.
            ttl: As of `get_or_load`.
            tags: As of `get_or_load`.
            policy: As of `get_or_load`.

        Raises:
            TypeError: `tags` is no tuple of texts, or the function has no such parameter; when called,
                an argument cannot be part of a key.
        """
        check_tags(tags)
        return cached_by(
            self.get_or_load,
            namespace,
            tenant=tenant,
            ignore=frozenset(ignore),
            ttl=ttl,
            tags=tags,
            policy=policy,
        )

    async def warm(
        self,
        pairs: Iterable[tuple[CacheKey, Callable[[], Awaitable[Any]]]],
        *,
        ttl: float | Adaptive = 30.0,
        type: Any = Any,  # noqa: A002, ANN401 - what they are, or anything
        tags: tuple[str, ...] = (),
        policy: Policy = DEFAULT,
        concurrency: int = 8,
    ) -> Warmed:
        """Ask for many keys ahead of their readers; those already there are not loaded.

        Args:
            pairs: Keys with their loaders.
            ttl: As of `get_or_load`.
            type: As of `get_or_load`.
            tags: As of `get_or_load`.
            policy: As of `get_or_load`.
            concurrency: Loads at once.

        Returns:
            How many have a value now, and which failed.
        """
        ask = partial(self.get_or_load, ttl=ttl, type=type, tags=tags, policy=policy)
        return await warm_all(pairs, ask, concurrency=concurrency)

    @contextlib.contextmanager
    def _replacing(self, names: Names, key: CacheKey) -> Iterator[None]:
        """Believe nothing read before or while a single value is replaced."""
        self._coherence.changed(names.scope.touch_key)
        self._local.drop(key)
        try:
            yield
        finally:
            self._coherence.changed(names.scope.touch_key)
            self._local.drop(key)

    def _question(
        self,
        key: CacheKey,
        type_: Any,  # noqa: ANN401 - what it is, or anything
        tags: tuple[str, ...],
        ttl: float | Adaptive,
        policy: Policy,
    ) -> Question:
        if isinstance(ttl, int | float) and not 0 < ttl < math.inf:
            raise ValueError("ttl is above 0")
        try:
            kind = kind_of(type_, tags)
        except TypeError:
            check_tags(tags)
            raise
        names = Names(self._coherence.scope(key, tags), key.digest)
        return Question(key, kind, names, ttl, policy)
