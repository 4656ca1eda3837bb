"""What happens beside the channels: metric series, CDN nodes, a live stream's segments, viewers' actions.

The metric series are recordings. The rest is made up, with a seed: nodes whose load follows the viewers they
serve, a primary pipeline that loses segments for a while, viewers who act on a small catalogue and take part
in one experiment, and the policies that allow Playhead to act.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from heapq import merge

from config.demo import DemoSettings
from playhead.demo.data import Series
from playhead.demo.feed import Fed, Span
from playhead.demo.viewers import MINUTE_MS, Channel
from topics import CATALOGUE, CDN_NODES, EXPERIMENTS, POLICIES, SEGMENTS, TELEMETRY, VIEWING
from topics.catalogue import Title
from topics.cdn import NodeReport
from topics.commands import CommandKind
from topics.emission import Emission
from topics.experiments import Experiment, ExperimentStatus, Variant
from topics.ingest import Segment, SegmentStatus
from topics.policies import Policy
from topics.telemetry import Sample
from topics.viewing import Action, ViewerAction

STREAM = "live-stream"
PRIMARY, BACKUP = "primary", "backup"
EXPERIMENT = "bolder-artwork"
GENRES = ("action", "comedy", "crime", "documentary", "drama", "family", "history", "sport")
TITLES = 24
SEGMENT_BYTES = 1_500_000
UNKNOWN_KBPS = 1_000
"""Taken for a viewer whose bitrate the recording does not tell."""
MOST_KBPS = 20_000
"""A recording tells some bitrates in another unit."""

ACTIONS = {
    Action.PLAY: 40,
    Action.COMPLETE: 15,
    Action.LIKE: 10,
    Action.RATE: 10,
    Action.SEARCH: 10,
    Action.ADD_TO_LIST: 10,
    Action.SHARE: 5,
}
"""How often viewers do what."""


def reference_data(time_ms: int, demo: DemoSettings) -> list[Emission]:
    """Return what must be known before anything happens: policies, catalogue, the experiment."""
    draw = random.Random(demo.seed)
    policies = [
        Policy(
            time_ms=time_ms,
            policy=f"demo-{kind.value}",
            allows=kind,
            dry_run=False,
            first_share=demo.first_share,
            lease_s=demo.lease_s,
            note="the demo may act: its players are its own",
        )
        for kind in (CommandKind.STEER, CommandKind.SHED, CommandKind.FAIL_OVER)
    ]
    titles = [
        Title(
            time_ms=time_ms,
            title=name,
            genres=draw.sample(GENRES, 2),
            year=draw.randrange(1980, 2026),
        )
        for name in titles_of_the_catalogue()
    ]
    experiment = Experiment(
        time_ms=time_ms,
        experiment=EXPERIMENT,
        hypothesis="bolder artwork makes viewers play more",
        traffic=1.0,
        control="today",
        variants=[Variant(name="today", share=0.5), Variant(name="bolder", share=0.5)],
        metrics=["plays", "watched_ms"],
        status=ExperimentStatus.ACTIVE,
    )
    return [
        *(Emission(POLICIES, policy) for policy in policies),
        *(Emission(CATALOGUE, title) for title in titles),
        Emission(EXPERIMENTS, experiment),
    ]


def titles_of_the_catalogue() -> list[str]:
    """Return the names of the catalogue's titles."""
    return [f"title-{number:02d}" for number in range(1, TITLES + 1)]


def samples(series: Sequence[Series], span: Span) -> Iterator[tuple[int, Emission]]:
    """Yield the samples of all series, each series spread evenly over the demo.

    Samples keep their distances in time; the last of each series falls on the end of the span.
    """

    def one(each: Series) -> Iterator[tuple[int, Emission]]:
        shift_ms = span.end_ms - each.times_s[-1] * 1_000
        for number, (time_s, value) in enumerate(zip(each.times_s, each.values, strict=True)):
            sample = Sample(
                time_ms=time_s * 1_000 + shift_ms, service=each.service, metric=each.metric, value=value
            )
            yield span.at(number / len(each.values)), Emission(TELEMETRY, sample)

    yield from merge(*map(one, series), key=lambda event: event[0])


def segments(span: Span, demo: DemoSettings) -> Iterator[tuple[int, Emission]]:
    """Yield the segments of the live stream's two pipelines; the primary's are missing for a while."""
    first, last = span.start_ms // demo.segment_ms, span.end_ms // demo.segment_ms
    lost_ms = range(span.at(demo.segments_lost_from), span.at(demo.segments_lost_to))
    for sequence in range(first, last):
        time_ms = (sequence + 1) * demo.segment_ms
        for pipeline in (PRIMARY, BACKUP):
            lost = pipeline == PRIMARY and time_ms in lost_ms
            segment = Segment(
                id=f"{STREAM}/{pipeline}/{sequence}",
                time_ms=time_ms,
                stream=STREAM,
                pipeline=pipeline,
                sequence=sequence,
                duration_ms=demo.segment_ms,
                status=SegmentStatus.MISSING if lost else SegmentStatus.PUBLISHED,
                size_bytes=0 if lost else SEGMENT_BYTES,
            )
            yield time_ms, Emission(SEGMENTS, segment)


def actions(span: Span, demo: DemoSettings) -> Iterator[tuple[int, Emission]]:
    """Yield what viewers do with the catalogue: each has a few titles that suit them."""
    draw = random.Random(demo.seed + 1)
    titles = titles_of_the_catalogue()
    favourites = [draw.sample(titles, 4) for _ in range(demo.viewers)]
    step_ms = MINUTE_MS // demo.actions_per_minute
    for number, time_ms in enumerate(range(span.start_ms, span.end_ms, step_ms)):
        viewer = draw.randrange(demo.viewers)
        action = draw.choices(list(ACTIONS), list(ACTIONS.values()))[0]
        title = draw.choice(favourites[viewer] if draw.random() < 0.8 else titles)
        done = ViewerAction(
            id=f"demo-action-{number}",
            time_ms=time_ms,
            viewer=f"viewer-{viewer:03d}",
            action=action,
            title="" if action is Action.SEARCH else title,
            query=title if action is Action.SEARCH else "",
            rating=draw.randrange(2, 11) / 2 if action is Action.RATE else None,
            watched_ms=draw.randrange(MINUTE_MS, 90 * MINUTE_MS) if action is Action.COMPLETE else None,
        )
        yield time_ms, Emission(VIEWING, done)


class Nodes:
    """A node for each CDN of the channels, which tells once a minute how loaded it is.

    Its capacity is `node_headroom` times the most that the recordings ask of it in a minute.
    """

    def __init__(self, channels: Sequence[Channel], span: Span, demo: DemoSettings) -> None:
        self._channels = channels
        self._next_ms = span.start_ms
        self._capacity_kbps: dict[str, float] = {}
        for start_ms in range(span.start_ms, span.end_ms, MINUTE_MS):
            for cdn, kbps in self._demand_kbps(start_ms).items():
                least_kbps = demo.node_headroom * kbps
                self._capacity_kbps[cdn] = max(self._capacity_kbps.get(cdn, 0.0), least_kbps)

    def until(self, time_ms: int) -> Iterator[Fed]:
        """Yield the reports before `time_ms`."""
        while self._next_ms < time_ms:
            demand = self._demand_kbps(self._next_ms)
            for cdn, capacity_kbps in self._capacity_kbps.items():
                report = NodeReport(
                    id=f"{cdn}-1/{self._next_ms}",
                    time_ms=self._next_ms,
                    node=f"cdn-{cdn}-node-1",
                    cdn=cdn,
                    capacity_gbps=capacity_kbps / 1e6,
                    load=min(demand[cdn] / capacity_kbps, 1.0),
                )
                yield Fed.of(Emission(CDN_NODES, report))
            self._next_ms += MINUTE_MS

    def _demand_kbps(self, time_ms: int) -> dict[str, float]:
        demand: dict[str, float] = defaultdict(float)
        for channel in self._channels:
            for cell, viewers in channel.audience(time_ms):
                if "cdn" in cell:
                    kbps = min(int(cell.get("bitrate_kbps", 0)) or UNKNOWN_KBPS, MOST_KBPS)
                    demand[cell["cdn"]] += viewers * kbps
        return demand
