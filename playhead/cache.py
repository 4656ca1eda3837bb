"""The cache of what agents work out for viewers: bytes by key, for a while, dropped by key or by prefix.

`RedisCache` is shared by all processes. Nobody waits for a Redis that is away: while it is, the cache has
nothing and keeps nothing, one warning says so, and what should have been dropped meanwhile is dropped before
anything is read again. `MemoryCache` stands in for it inside one process; the demo alone may ask for it, by
the URL ``memory://``.
"""

from __future__ import annotations

import asyncio
import os
import time
from bisect import bisect_left, insort
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import TypeVar

import structlog
from redis.asyncio import Redis
from redis.asyncio.connection import parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from agents import metrics
from agents.ports import Cache
from config import Settings
from config.sections import CacheSettings
from playhead.engine import broker
from playhead.engine.broker import Options
from playhead.engine.errors import EngineError
from topics.errors import PlayheadError

T = TypeVar("T")

MEMORY_URL = "memory://"

log = structlog.get_logger(__name__)

# Beside the entries, one sorted set has all keys in the order of their text: what begins with a prefix stands
# together there, and is found in time that does not grow with the rest. Another has them by expiry, so that
# each put clears away a few that have expired. Both go when the last entry has.
_PUT = """
local now = redis.call('TIME')
local now_ms = now[1] * 1000 + math.floor(now[2] / 1000)
local ttl_ms = tonumber(ARGV[3])
redis.call('SET', ARGV[1] .. ARGV[2], ARGV[4], 'PX', ttl_ms)
redis.call('ZADD', KEYS[1], 0, ARGV[2])
redis.call('ZADD', KEYS[2], now_ms + ttl_ms, ARGV[2])
local expired = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now_ms, 'LIMIT', 0, 16)
if #expired > 0 then
  redis.call('ZREM', KEYS[1], unpack(expired))
  redis.call('ZREM', KEYS[2], unpack(expired))
end
for _, index in ipairs(KEYS) do
  if redis.call('PTTL', index) < ttl_ms then redis.call('PEXPIRE', index, ttl_ms) end
end
"""

_DROP_PREFIX = """
local last = '(' .. ARGV[2] .. '\\255'
repeat
  local found = redis.call('ZRANGEBYLEX', KEYS[1], '[' .. ARGV[2], last, 'LIMIT', 0, 1000)
  for _, key in ipairs(found) do redis.call('DEL', ARGV[1] .. key) end
  if #found > 0 then
    redis.call('ZREM', KEYS[1], unpack(found))
    redis.call('ZREM', KEYS[2], unpack(found))
  end
until #found == 0
"""


class NoRedisError(PlayheadError):
    """There is no Redis to talk to."""

    exit_code = 3


@asynccontextmanager
async def open_cache(settings: Settings) -> AsyncIterator[Cache]:
    """Give the cache that the settings name: the URL set, else the Redis that `playhead up` started.

    A Redis that is not there, now or later, is no error: see `RedisCache`.

    Raises:
        NoRedisError: the URL set is none of a Redis.
    """
    if settings.redis_url == MEMORY_URL:
        log.warning("no Redis: entries are kept inside this process, and no other sees them", url=MEMORY_URL)
        yield MemoryCache(settings.cache.memory_entries)
        return
    if settings.redis_url:
        _check(settings.redis_url)
    redis = RedisCache(lambda: find_redis_url(settings), f"{settings.prefix}playhead:", settings.cache)
    try:
        yield redis
    finally:
        await redis.close()


def find_redis_url(settings: Settings) -> str:
    """Return the URL of the Redis set, or of the one that `playhead up` started.

    Raises:
        NoRedisError: neither is there.
    """
    if settings.redis_url:
        return settings.redis_url
    try:
        services = broker.discover(Options.from_environment(os.environ))
    except EngineError as error:
        raise NoRedisError(str(error)) from error
    if services is None or services.redis_url is None:
        raise NoRedisError(
            "no Redis is running: run `playhead up`, or set PLAYHEAD_REDIS_URL to one's address"
        )
    return services.redis_url


def _check(url: str) -> None:
    try:
        parse_url(url)
    except ValueError as error:
        raise NoRedisError(
            f"PLAYHEAD_REDIS_URL = {url!r}: expected redis://host:port/db, or {MEMORY_URL} ({error})"
        ) from error


class RedisCache:
    """Implements `agents.ports.Cache` in Redis. One process may share it between tasks of one event loop.

    An operation that Redis does not take fails without a word to its caller: `get` returns None. After a
    failure Redis is left alone for a while, so that its absence slows nobody down.

    Args:
        find_url: tells where Redis is, each time there is need to connect; may raise a PlayheadError.
        namespace: what all keys begin with inside Redis, so that runs stand beside one another.
        figures: timeouts, and how much is remembered while Redis is away.
        clock: seconds, never going back.
    """

    def __init__(
        self,
        find_url: Callable[[], str],
        namespace: str,
        figures: CacheSettings,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._find_url = find_url
        self._entries = f"{namespace}entry:"
        self._indexes = [f"{namespace}keys", f"{namespace}expiries"]
        self._figures = figures
        self._clock = clock
        self._redis: Redis | None = None
        self._away = False
        self._retry_at = clock()
        self._owed = _Owed(figures.pending_invalidations)
        self._paying = asyncio.Lock()

    async def put(self, key: str, value: bytes, ttl_s: float) -> None:
        """Keep `value` for `ttl_s` seconds, in place of what `key` had."""
        ttl_ms = max(int(ttl_s * 1000), 1)

        async def put(redis: Redis) -> bool:
            await redis.eval(_PUT, 2, *self._indexes, self._entries, key, ttl_ms, value)
            return True

        if not await self._attempt("put", put):
            # What the key had before is outdated all the same.
            self._owed.add(key)

    async def get(self, key: str) -> bytes | None:
        """Return what `key` has, or None."""

        async def get(redis: Redis) -> bytes | None:
            found = await redis.get(f"{self._entries}{key}")
            return found.encode() if isinstance(found, str) else found

        return await self._attempt("get", get)

    async def invalidate(self, key: str) -> None:
        """Drop what `key` has."""

        async def drop(redis: Redis) -> bool:
            await self._drop(redis, [key])
            return True

        if not await self._attempt("invalidate", drop):
            self._owed.add(key)

    async def invalidate_prefix(self, prefix: str) -> None:
        """Drop what every key that begins with `prefix` has; other keys cost nothing."""

        async def drop(redis: Redis) -> bool:
            await self._drop_prefix(redis, prefix)
            return True

        if not await self._attempt("invalidate_prefix", drop):
            self._owed.add_prefix(prefix)

    async def close(self) -> None:
        """Leave Redis."""
        redis, self._redis = self._redis, None
        if redis is not None:
            with suppress(RedisError, OSError):
                await redis.aclose()

    async def _attempt(self, operation: str, act: Callable[[Redis], Awaitable[T]]) -> T | None:
        if self._away and self._clock() < self._retry_at:
            metrics.CACHE_ERRORS.labels(operation).inc()
            return None
        try:
            redis = self._connected()
            await self._pay(redis)
            result = await act(redis)
        except (RedisError, OSError, PlayheadError) as error:
            metrics.CACHE_ERRORS.labels(operation).inc()
            self._retry_at = self._clock() + self._figures.retry_s
            # Redis may come back elsewhere: it is looked for again.
            await self.close()
            if not self._away:
                self._away = True
                log.warning("the cache is away: going on without it, and trying again", reason=str(error))
            return None
        if self._away:
            self._away = False
            log.info("the cache is back")
        return result

    def _connected(self) -> Redis:
        if self._redis is None:
            self._redis = Redis.from_url(
                self._find_url(),
                socket_timeout=self._figures.timeout_s,
                socket_connect_timeout=self._figures.timeout_s,
                # Once: a connection that Redis closed while it was idle is found out only by using it.
                retry=Retry(NoBackoff(), 1),
            )
        return self._redis

    async def _pay(self, redis: Redis) -> None:
        """Drop what could not be dropped while Redis was away."""
        if not self._owed:
            return
        async with self._paying:
            keys, prefixes = self._owed.all()
            for prefix in prefixes:
                await self._drop_prefix(redis, prefix)
            await self._drop(redis, keys)
            self._owed.remove(keys, prefixes)

    async def _drop(self, redis: Redis, keys: list[str]) -> None:
        if not keys:
            return
        async with redis.pipeline(transaction=True) as together:
            together.delete(*(f"{self._entries}{key}" for key in keys))
            for index in self._indexes:
                together.zrem(index, *keys)
            await together.execute()

    async def _drop_prefix(self, redis: Redis, prefix: str) -> None:
        await redis.eval(_DROP_PREFIX, 2, *self._indexes, self._entries, prefix)


class _Owed:
    """Invalidations to be made up for; beyond `capacity` everything is."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._keys: dict[str, None] = {}
        self._prefixes: dict[str, None] = {}

    def __bool__(self) -> bool:
        return bool(self._keys or self._prefixes)

    def add(self, key: str) -> None:
        self._keys[key] = None
        self._bound()

    def add_prefix(self, prefix: str) -> None:
        self._prefixes[prefix] = None
        self._bound()

    def all(self) -> tuple[list[str], list[str]]:
        return list(self._keys), list(self._prefixes)

    def remove(self, keys: list[str], prefixes: list[str]) -> None:
        for key in keys:
            self._keys.pop(key, None)
        for prefix in prefixes:
            self._prefixes.pop(prefix, None)

    def _bound(self) -> None:
        if len(self._keys) + len(self._prefixes) > self._capacity:
            self._keys = {}
            self._prefixes = {"": None}


class MemoryCache:
    """Implements `agents.ports.Cache` inside one process: the stand-in for Redis that the demo may use.

    Args:
        capacity: entries kept; beyond it the one used longest ago goes.
        clock: seconds, never going back.
    """

    def __init__(self, capacity: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._capacity = capacity
        self._clock = clock
        self._entries: OrderedDict[str, tuple[bytes, float]] = OrderedDict()
        """Value and expiry by key, the one used longest ago first."""
        self._sorted: list[str] = []

    async def put(self, key: str, value: bytes, ttl_s: float) -> None:
        """Keep `value` for `ttl_s` seconds, in place of what `key` had."""
        if key not in self._entries:
            insort(self._sorted, key)
        self._entries[key] = (value, self._clock() + ttl_s)
        self._entries.move_to_end(key)
        if len(self._entries) > self._capacity:
            self._remove(next(iter(self._entries)))

    async def get(self, key: str) -> bytes | None:
        """Return what `key` has, or None."""
        found = self._entries.get(key)
        if found is None:
            return None
        value, expiry = found
        if self._clock() >= expiry:
            self._remove(key)
            return None
        self._entries.move_to_end(key)
        return value

    async def invalidate(self, key: str) -> None:
        """Drop what `key` has."""
        if key in self._entries:
            self._remove(key)

    async def invalidate_prefix(self, prefix: str) -> None:
        """Drop what every key that begins with `prefix` has."""
        first = last = bisect_left(self._sorted, prefix)
        while last < len(self._sorted) and self._sorted[last].startswith(prefix):
            del self._entries[self._sorted[last]]
            last += 1
        del self._sorted[first:last]

    def _remove(self, key: str) -> None:
        del self._entries[key]
        del self._sorted[bisect_left(self._sorted, key)]
