"""Recommendations and experiments over a real Kafka and Redis: with one worker, with two, with a fault."""

from __future__ import annotations

import random
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from confluent_kafka import Producer
from worker_process import WorkerProcess

from agents.experiments import Observer
from agents.preferences import ListMaker
from config import load
from models.preferences import SEEN
from playhead.cache import RedisCache
from playhead.log_reader import read_to_end
from playhead.topics_admin import TopicsAdmin, wanted
from topics import (
    ALL,
    CATALOGUE,
    DEAD_LETTERS,
    EXPERIMENT_PARTS,
    EXPERIMENT_RESULTS,
    EXPERIMENTS,
    INVALIDATIONS,
    POPULARITY,
    RECOMMENDATIONS,
    VIEWING,
)
from topics.catalogue import Title
from topics.experiments import Experiment, ExperimentStatus, Variant
from topics.recommendations import Recommendation, list_key, session_key
from topics.spec import AnySpec
from topics.viewing import Action, ViewerAction

START_MS = 1_700_000_000_000
VIEWERS = 60
ACTIONS = 900
REPEATS = 5
TIMEOUT_S = 90.0
HOUR_S = 3600.0
AGENTS = ("popularity", "preferences", "experiments", "experiment-results")
FIGURES = load({}).settings

TITLES = {
    f"title-{number}": Title(
        time_ms=START_MS, title=f"title-{number}", genres=[["crime", "drama", "comedy"][number % 3]]
    )
    for number in range(30)
}
TRIAL = Experiment(
    time_ms=START_MS,
    experiment="row-order",
    traffic=0.8,
    control="as-today",
    variants=[Variant(name="as-today", share=0.5), Variant(name="by-taste", share=0.5)],
    metrics=["plays", "watched_ms"],
    status=ExperimentStatus.ACTIVE,
)


def viewing() -> list[ViewerAction]:
    rng = random.Random(3)
    actions = []
    for number in range(ACTIONS):
        action = rng.choice([Action.PLAY, Action.STOP, Action.LIKE, Action.RATE, Action.SEARCH])
        actions.append(
            ViewerAction(
                id=f"action-{number}",
                time_ms=START_MS + number * 1_000,
                viewer=f"v-{rng.randrange(VIEWERS)}",
                action=action,
                title="" if action is Action.SEARCH else f"title-{rng.randrange(30)}",
                rating=rng.randrange(6) if action is Action.RATE else None,
                watched_ms=rng.randrange(10**7) if action is Action.STOP else None,
            )
        )
    return actions


def of_each_viewer() -> dict[str, list[ViewerAction]]:
    actions = defaultdict(list)
    for action in viewing():
        actions[action.viewer].append(action)
    return actions


class Run:
    """One run under a prefix of its own."""

    def __init__(self, brokers: str, prefix: str) -> None:
        self.prefix = prefix
        self.client = {"bootstrap.servers": brokers}
        TopicsAdmin(self.client).create(wanted(ALL, prefix))
        self._producer = Producer(
            {**self.client, "enable.idempotence": True, "partitioner": "murmur2_random"}
        )
        self.send(CATALOGUE, TITLES.values())
        self.send(EXPERIMENTS, [TRIAL])

    def send(self, spec: AnySpec, records: Iterable[Any]) -> None:
        for record in records:
            self.send_bytes(spec, spec.key_of(record), spec.encode(record))
        assert self._producer.flush(30) == 0

    def send_bytes(self, spec: AnySpec, key: str, value: bytes) -> None:
        self._producer.produce(spec.full_name(self.prefix), key=key.encode(), value=value)

    def read(self, spec: AnySpec) -> list[Any]:
        messages = read_to_end(self.client, spec.full_name(self.prefix))
        return [spec.decode(message.value()) for message in messages]

    def lists(self) -> dict[str, Recommendation]:
        """Return each viewer's newest list."""
        return {each.viewer: each for each in self.read(RECOMMENDATIONS)}

    def ids(self, spec: AnySpec) -> set[str]:
        return {each.id for each in self.read(spec)}

    def standing(self) -> dict[str, dict[str, tuple[int, float, float]]]:
        """Return the newest figures by metric and variant."""
        return {
            result.metric: {each.variant: (each.count, each.mean, each.variance) for each in result.variants}
            for result in self.read(EXPERIMENT_RESULTS)
        }

    def popularity(self) -> dict[str, tuple[int, float, int]]:
        """Return ratings, their sum, and plays of each title, over all partitions."""
        newest = {(each.title, each.source): each for each in self.read(POPULARITY)}
        total: dict[str, tuple[int, float, int]] = defaultdict(lambda: (0, 0.0, 0))
        for (title, _), each in newest.items():
            ratings, rating_sum, plays = total[title]
            total[title] = ratings + each.ratings, rating_sum + each.rating_sum, plays + each.plays
        return dict(total)

    def wait_for(self, reached: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + TIMEOUT_S
        while not reached():
            assert time.monotonic() < deadline, f"not reached: {what}"
            time.sleep(0.5)


def by_hand() -> dict[str, dict[str, tuple[int, float, float]]]:
    """The figures of the experiment, worked out from all actions at once."""
    observer = Observer({TRIAL.experiment: TRIAL})  # type: ignore[arg-type]
    values: dict[str, dict[str, list[int]]] = {metric: defaultdict(list) for metric in TRIAL.metrics}
    for actions in of_each_viewer().values():
        participation, _ = observer.step(None, actions[0])
        if TRIAL.experiment not in participation.exposures:
            continue
        variant = participation.exposures[TRIAL.experiment].variant
        values["plays"][variant].append(sum(each.action is Action.PLAY for each in actions))
        values["watched_ms"][variant].append(sum(each.watched_ms or 0 for each in actions))
    return {
        metric: {
            variant: (len(each), float(np.mean(each)), float(np.var(each, ddof=1)))
            for variant, each in arms.items()
        }
        for metric, arms in values.items()
    }


def close(
    found: dict[str, dict[str, tuple[int, float, float]]],
    expected: dict[str, dict[str, tuple[int, float, float]]],
) -> bool:
    return found.keys() == expected.keys() and all(
        found[metric] == {name: pytest.approx(each, rel=1e-12) for name, each in arms.items()}
        for metric, arms in expected.items()
    )


def liked_by_hand() -> dict[str, tuple[int, float, int]]:
    """Ratings, their sum, and plays of each title."""
    ratings: dict[str, list[float]] = defaultdict(list)
    plays: Counter[str] = Counter()
    for action in viewing():
        if action.rating is not None:
            ratings[action.title].append(action.rating)
        plays[action.title] += action.action is Action.PLAY
    return {title: (len(ratings[title]), sum(ratings[title]), plays[title]) for title in TITLES}


def has_outcomes(worker: WorkerProcess, agent: str, expected: dict[str, int]) -> bool:
    return all(
        worker.metric("playhead_records_total", agent=agent, outcome=outcome) == count
        for outcome, count in expected.items()
    )


@pytest.fixture(scope="module")
def calm(kafka: Any, redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run of one worker without faults, all told; a bad record came in between."""
    run = Run(kafka.brokers, "viewing-calm.")
    folder = tmp_path_factory.mktemp("viewing-calm")
    with WorkerProcess(kafka.brokers, run.prefix, folder, AGENTS, PLAYHEAD_REDIS_URL=redis_url) as worker:
        worker.wait_until_ready()
        actions = viewing()
        run.send(VIEWING, actions[:400])
        run.send_bytes(VIEWING, "v-1", b'{"time_ms": 1, "viewer": "v-1", "action": "sneeze"}')
        run.send(VIEWING, actions[400:] + actions[-REPEATS:])
        run.wait_for(lambda: len(run.ids(RECOMMENDATIONS)) == ACTIONS, "a list for each action")
        run.wait_for(lambda: close(run.standing(), by_hand()), "the figures worked out by hand")
        for agent in ("preferences", "experiments"):
            wanted_outcomes = {"processed": ACTIONS, "duplicate": REPEATS, "dead": 1}
            run.wait_for(partial(has_outcomes, worker, agent, wanted_outcomes), f"all counted by {agent}")
        run.wait_for(lambda: run.popularity() == liked_by_hand(), "the popularity worked out by hand")
    return run


def test_each_action_makes_a_list_once_and_outdates_what_it_should(calm: Run) -> None:
    assert len(calm.read(RECOMMENDATIONS)) == ACTIONS

    ratings = sum(action.action is Action.RATE for action in viewing())
    outdated = calm.read(INVALIDATIONS)
    assert len(outdated) == len({each.id for each in outdated}) == 2 * ACTIONS + ratings


def test_each_list_follows_the_viewers_taste_and_holds_nothing_seen(calm: Run) -> None:
    lists = calm.lists()
    maker = ListMaker(TITLES, {}, FIGURES.preferences)  # type: ignore[arg-type]

    assert lists.keys() == of_each_viewer().keys()
    for viewer, actions in of_each_viewer().items():
        taste = None
        for action in actions:
            taste, _ = maker.step(taste, action)
        assert taste is not None
        assert lists[viewer].genres == taste.genres
        suggested = {each.title for each in lists[viewer].titles}
        seen = {action.title for action in actions if action.action in SEEN}
        assert not suggested & seen
        assert len(suggested) == min(FIGURES.preferences.list_length, len(TITLES) - len(seen))


def test_popularity_is_told_by_all_partitions_and_adds_up(calm: Run) -> None:
    assert {each.source for each in calm.read(POPULARITY)} == set(range(VIEWING.partitions))
    assert calm.popularity() == liked_by_hand()


async def test_the_cache_holds_the_newest_lists_and_no_outdated_session(calm: Run, redis_url: str) -> None:
    cache = RedisCache(lambda: redis_url, f"{calm.prefix}playhead:", FIGURES.cache)

    for viewer, newest in calm.lists().items():
        found = await cache.get(list_key(viewer))
        assert found is not None
        assert RECOMMENDATIONS.decode(found) == newest
    await cache.put(session_key("v-0"), b"a session", HOUR_S)
    assert await cache.get(session_key("v-0")) == b"a session"
    await cache.close()


def test_a_bad_action_is_refused_by_each_agent_that_reads_it(calm: Run) -> None:
    letters = calm.read(DEAD_LETTERS)

    assert sorted(each.agent for each in letters) == ["experiments", "popularity", "preferences"]
    assert all("sneeze" in each.reason for each in letters)


def test_two_workers_one_of_them_killed_come_to_the_same_lists_and_figures(
    kafka: Any, redis_url: str, topic_prefix: str, tmp_path: Path, calm: Run
) -> None:
    run = Run(kafka.brokers, topic_prefix)
    first, second = (
        WorkerProcess(kafka.brokers, run.prefix, tmp_path, AGENTS, PLAYHEAD_REDIS_URL=redis_url)
        for _ in range(2)
    )
    with first, second:
        first.wait_until_ready()
        second.wait_until_ready()
        actions = viewing()
        run.send(VIEWING, actions[:300])
        first.kill()
        run.send(VIEWING, actions[300:600])
        first.start()
        run.send(VIEWING, actions[600:])
        run.wait_for(lambda: len(run.ids(RECOMMENDATIONS)) == ACTIONS, "a list for each action")
        run.wait_for(lambda: close(run.standing(), by_hand()), "the figures worked out by hand")
        run.wait_for(lambda: run.popularity() == liked_by_hand(), "the popularity worked out by hand")

    for spec in (RECOMMENDATIONS, INVALIDATIONS, EXPERIMENT_PARTS):
        assert run.ids(spec) == calm.ids(spec), spec.name
    assert run.standing() == calm.standing()
    for viewer, newest in run.lists().items():
        assert newest.genres == calm.lists()[viewer].genres
