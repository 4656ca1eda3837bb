"""One suite for every cache, and what only a Redis can show: its absence."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from prometheus_client import REGISTRY
from redis.asyncio import Redis
from structlog.testing import capture_logs

from agents.ports import Cache
from config import load
from playhead.cache import MemoryCache, NoRedisError, RedisCache, find_redis_url, open_cache
from playhead.engine.local_server import free_port

FIGURES = load({}).settings.cache
HOUR_S = 3600.0


@pytest.fixture(params=["memory", "redis"])
async def cache(request: pytest.FixtureRequest, topic_prefix: str) -> AsyncIterator[Cache]:
    if request.param == "memory":
        yield MemoryCache(capacity=10_000)
        return
    url = request.getfixturevalue("redis_url")
    redis = RedisCache(lambda: url, topic_prefix, FIGURES)
    yield redis
    await redis.close()


async def test_what_was_put_is_got(cache: Cache) -> None:
    await cache.put("list:v-1", b"\x00\xffbytes", HOUR_S)

    assert await cache.get("list:v-1") == b"\x00\xffbytes"


async def test_a_key_without_an_entry_has_nothing(cache: Cache) -> None:
    assert await cache.get("list:nobody") is None


async def test_a_later_put_takes_the_place_of_an_earlier_one(cache: Cache) -> None:
    await cache.put("key", b"old", HOUR_S)
    await cache.put("key", b"new", HOUR_S)

    assert await cache.get("key") == b"new"


async def test_an_invalidated_key_has_nothing_and_others_keep_theirs(cache: Cache) -> None:
    await cache.put("list:v-1", b"1", HOUR_S)
    await cache.put("list:v-2", b"2", HOUR_S)

    await cache.invalidate("list:v-1")

    assert await cache.get("list:v-1") is None
    assert await cache.get("list:v-2") == b"2"


async def test_an_invalidated_prefix_takes_all_that_begins_with_it_and_nothing_else(cache: Cache) -> None:
    kept = ["list:v-1", "list:v-1:genre", "list:v-10:genre:drama", "list:v-1:genrf", "list:v-2:genre:drama"]
    dropped = ["list:v-1:genre:", "list:v-1:genre:drama", "list:v-1:genre:Ünïcode", "list:v-1:genre:z:z"]
    for key in kept + dropped:
        await cache.put(key, key.encode(), HOUR_S)

    await cache.invalidate_prefix("list:v-1:genre:")

    assert [await cache.get(key) for key in dropped] == [None] * len(dropped)
    assert [await cache.get(key) for key in kept] == [key.encode() for key in kept]


async def test_a_prefix_of_thousands_of_keys_is_dropped_whole(cache: Cache) -> None:
    keys = [f"many:{number}" for number in range(2_500)]
    for key in keys:
        await cache.put(key, b"x", HOUR_S)
    assert {await cache.get(key) for key in keys} == {b"x"}

    await cache.invalidate_prefix("many:")

    assert {await cache.get(key) for key in keys} == {None}


async def test_the_empty_prefix_drops_everything(cache: Cache) -> None:
    await cache.put("a", b"1", HOUR_S)
    await cache.put("z", b"2", HOUR_S)

    await cache.invalidate_prefix("")

    assert (await cache.get("a"), await cache.get("z")) == (None, None)


async def test_invalidating_what_is_not_there_does_nothing(cache: Cache) -> None:
    await cache.invalidate("nothing")
    await cache.invalidate_prefix("nothing:")

    assert await cache.get("nothing") is None


async def test_an_invalidated_key_can_be_put_again(cache: Cache) -> None:
    await cache.put("key", b"old", HOUR_S)
    await cache.invalidate_prefix("k")
    await cache.put("key", b"new", HOUR_S)

    assert await cache.get("key") == b"new"


async def test_an_entry_goes_when_its_time_is_over(cache: Cache) -> None:
    await cache.put("brief", b"x", 0.02)
    await cache.put("lasting", b"y", HOUR_S)

    await until_gone(cache, "brief")

    assert await cache.get("lasting") == b"y"


async def test_a_later_put_renews_the_time_of_an_entry(cache: Cache) -> None:
    await cache.put("key", b"x", 0.02)
    await cache.put("other", b"x", 0.02)
    await cache.put("key", b"x", HOUR_S)

    await until_gone(cache, "other")
    await cache.put("one more, which clears the expired away", b"x", HOUR_S)

    assert await cache.get("key") == b"x"
    await cache.invalidate_prefix("ke")
    assert await cache.get("key") is None


async def until_gone(cache: Cache, key: str) -> None:
    while await cache.get(key) is not None:
        await asyncio.sleep(0.005)


async def test_a_full_memory_cache_forgets_what_was_used_longest_ago() -> None:
    cache = MemoryCache(capacity=2)
    await cache.put("a", b"1", HOUR_S)
    await cache.put("b", b"2", HOUR_S)
    await cache.get("a")

    await cache.put("c", b"3", HOUR_S)

    assert [await cache.get(key) for key in "abc"] == [b"1", None, b"3"]
    await cache.invalidate_prefix("")
    assert [await cache.get(key) for key in "abc"] == [None, None, None]


async def test_runs_with_other_prefixes_have_caches_of_their_own(redis_url: str, topic_prefix: str) -> None:
    one = RedisCache(lambda: redis_url, f"{topic_prefix}one.", FIGURES)
    other = RedisCache(lambda: redis_url, f"{topic_prefix}other.", FIGURES)
    await one.put("key", b"1", HOUR_S)
    await other.put("key", b"2", HOUR_S)

    await one.invalidate_prefix("")

    assert (await one.get("key"), await other.get("key")) == (None, b"2")
    await one.close()
    await other.close()


async def test_processes_see_one_anothers_entries_and_invalidations(
    redis_url: str, topic_prefix: str
) -> None:
    agent = RedisCache(lambda: redis_url, topic_prefix, FIGURES)
    gateway = RedisCache(lambda: redis_url, topic_prefix, FIGURES)

    await agent.put("list:v-1", b"1", HOUR_S)
    assert await gateway.get("list:v-1") == b"1"
    await agent.invalidate("list:v-1")
    assert await gateway.get("list:v-1") is None

    await agent.close()
    await gateway.close()


async def test_expired_entries_leave_nothing_behind_in_redis(redis_url: str, topic_prefix: str) -> None:
    cache = RedisCache(lambda: redis_url, topic_prefix, FIGURES)
    for number in range(64):
        await cache.put(f"brief:{number}", b"x", 0.001)
    await until_gone(cache, "brief:63")

    # Each put clears up to 16 of the expired away.
    for number in range(5):
        await cache.put(f"lasting:{number}", b"x", HOUR_S)

    async with Redis.from_url(redis_url) as redis:
        assert await redis.zcard(f"{topic_prefix}keys") == 5
        assert await redis.zcard(f"{topic_prefix}expiries") == 5
        assert 3500 < await redis.ttl(f"{topic_prefix}keys") <= 3600
    await cache.close()


class Away:
    """A Redis that is somewhere else until told, and a clock that moves when told."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.nowhere = f"redis://127.0.0.1:{free_port()}/0"
        self.away = False
        self.asked = 0
        self.now = 100.0

    def find_url(self) -> str:
        self.asked += 1
        return self.nowhere if self.away else self.url

    def clock(self) -> float:
        return self.now


@pytest.fixture
async def away(redis_url: str) -> Away:
    return Away(redis_url)


@pytest.fixture
async def redis_cache(away: Away, topic_prefix: str) -> AsyncIterator[RedisCache]:
    cache = RedisCache(away.find_url, topic_prefix, FIGURES, away.clock)
    yield cache
    await cache.close()


async def lose(cache: RedisCache, away: Away) -> None:
    await cache.close()
    away.away = True


async def find_again(away: Away) -> None:
    away.away = False
    away.now += FIGURES.retry_s


async def test_a_redis_that_is_away_stops_nobody_and_is_told_of_once(
    redis_cache: RedisCache, away: Away
) -> None:
    await lose(redis_cache, away)
    failed = failures()

    with capture_logs() as logs:
        await redis_cache.put("a", b"1", HOUR_S)
        await redis_cache.invalidate("b")
        await redis_cache.invalidate_prefix("c")
        assert await redis_cache.get("a") is None
        away.now += FIGURES.retry_s
        assert await redis_cache.get("a") is None

    assert [entry["log_level"] for entry in logs] == ["warning"]
    assert failures() - failed == 5


async def test_a_redis_that_is_away_is_left_alone_between_two_tries(
    redis_cache: RedisCache, away: Away
) -> None:
    await lose(redis_cache, away)
    await redis_cache.get("a")
    asked = away.asked

    for _ in range(100):
        await redis_cache.get("a")
    assert away.asked == asked

    await find_again(away)
    await redis_cache.put("a", b"1", HOUR_S)
    assert await redis_cache.get("a") == b"1"


async def test_what_was_invalidated_while_redis_was_away_is_never_served_again(
    redis_cache: RedisCache, away: Away
) -> None:
    for key in ("invalidated", "prefixed:1", "replaced", "untouched"):
        await redis_cache.put(key, b"old", HOUR_S)
    await lose(redis_cache, away)

    await redis_cache.invalidate("invalidated")
    await redis_cache.invalidate_prefix("prefixed:")
    await redis_cache.put("replaced", b"new", HOUR_S)
    await find_again(away)

    found = [await redis_cache.get(key) for key in ("invalidated", "prefixed:1", "replaced", "untouched")]
    assert found == [None, None, None, b"old"]


async def test_more_invalidations_than_can_be_remembered_drop_everything(
    away: Away, topic_prefix: str
) -> None:
    figures = FIGURES.model_copy(update={"pending_invalidations": 3})
    cache = RedisCache(away.find_url, topic_prefix, figures, away.clock)
    await cache.put("untouched", b"old", HOUR_S)
    await lose(cache, away)

    for number in range(4):
        await cache.invalidate(f"key:{number}")
    await find_again(away)

    assert await cache.get("untouched") is None
    await cache.close()


def failures() -> float:
    values = [
        REGISTRY.get_sample_value("playhead_cache_errors_total", {"operation": operation})
        for operation in ("put", "get", "invalidate", "invalidate_prefix")
    ]
    return sum(value or 0.0 for value in values)


async def test_settings_choose_the_cache_and_the_stand_in_warns(redis_url: str) -> None:
    named = load({"PLAYHEAD_REDIS_URL": redis_url}).settings
    stand_in = load({"PLAYHEAD_REDIS_URL": "memory://"}).settings

    async with open_cache(named) as cache:
        assert isinstance(cache, RedisCache)
    with capture_logs() as logs:
        async with open_cache(stand_in) as cache:
            assert isinstance(cache, MemoryCache)
    assert [(entry["log_level"], entry["url"]) for entry in logs] == [("warning", "memory://")]


async def test_a_url_of_something_else_is_named() -> None:
    settings = load({"PLAYHEAD_REDIS_URL": "http://127.0.0.1"}).settings

    with pytest.raises(NoRedisError, match=r"PLAYHEAD_REDIS_URL = 'http://127.0.0.1': expected redis://"):
        async with open_cache(settings):
            pass


def test_no_redis_at_all_says_what_to_do(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLAYHEAD_DATA_DIR", str(tmp_path))
    monkeypatch.delenv("PLAYHEAD_BROKERS", raising=False)
    monkeypatch.delenv("PLAYHEAD_REDIS_URL", raising=False)

    with pytest.raises(NoRedisError, match="playhead up"):
        find_redis_url(load({}).settings)
