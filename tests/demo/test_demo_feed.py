from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from config import load
from playhead.clock import HandClock
from playhead.demo.data import Incident, Row, Series
from playhead.demo.feed import MOST_APART_MS, ChannelSource, Feeder, Pace, Schedule, Span
from playhead.demo.programme import LEAST_CHANNELS, plan
from playhead.demo.traffic import (
    BACKUP,
    PRIMARY,
    Nodes,
    actions,
    reference_data,
    samples,
    segments,
)
from playhead.demo.viewers import MINUTE_MS, Answers
from topics import CDN_NODES, PLAYBACK, POLICIES, TELEMETRY, VIEWING
from topics.emission import Emission
from topics.ingest import Segment, SegmentStatus
from topics.steering import SteeringAnswer
from topics.telemetry import Sample
from topics.viewing import ViewerAction

DEMO = load({}).settings.demo
NOW_MS = 1_795_387_250_643
SPAN = Span(0, 10 * MINUTE_MS)


@dataclass
class FakeSender:
    """Takes records, each of which costs time."""

    clock: HandClock
    cost_s: float = 0.0
    sent: list[tuple[str, bytes | None]] = field(default_factory=list)
    flushed: bool = False

    def send(self, topic: str, value: bytes | None, key: bytes | None = None) -> None:
        self.sent.append((topic, value))
        self.clock.wait(self.cost_s)

    def poll(self, timeout_s: float = 0.0) -> None: ...

    def flush(self) -> None:
        self.flushed = True


def sample(time_ms: int, name: str = "s") -> tuple[int, Emission]:
    return time_ms, Emission(TELEMETRY, Sample(time_ms=time_ms, service=name, metric="m", value=1.0))


def feeder(
    sender: FakeSender,
    *sources: Schedule,
    feed_s: float = 10.0,
    waits: Callable[[], bool] = lambda: False,
) -> Feeder:
    return Feeder(
        list(sources),
        Pace(SPAN, [1] * 10),
        sender,
        sender.clock,
        prefix="p.",
        feed_s=feed_s,
        tick_s=0.1,
        waits=waits,
    )


def times_of(sender: FakeSender) -> list[int]:
    return [TELEMETRY.decode(value).time_ms for _, value in sender.sent]


def test_everything_is_sent_once_under_the_runs_prefix_and_counted() -> None:
    sender = FakeSender(HandClock())

    feeding = feeder(sender, Schedule(sample(at) for at in range(0, SPAN.end_ms, 1_000)))
    feeding.run()

    assert times_of(sender) == list(range(0, SPAN.end_ms, 1_000))
    assert {topic for topic, _ in sender.sent} == {"p.telemetry"}
    assert feeding.sent == {"telemetry": 600}
    assert sender.flushed


def test_feeding_takes_as_long_as_it_is_told_to() -> None:
    sender = FakeSender(HandClock())

    feeding = feeder(sender, Schedule(iter([])), feed_s=25.0)
    feeding.run()

    assert feeding.took_s == pytest.approx(25.0, abs=0.2)
    assert feeding.event_ms == SPAN.end_ms


def test_sources_stay_together_even_where_sending_is_slow() -> None:
    sender = FakeSender(HandClock(), cost_s=0.5)
    sources = [Schedule(sample(at, name) for at in range(0, SPAN.end_ms, 700)) for name in "abc"]

    feeder(sender, *sources, feed_s=5.0).run()

    newest = 0
    for time_ms in times_of(sender):
        assert time_ms > newest - MOST_APART_MS
        newest = max(newest, time_ms)
    assert len(sender.sent) == 3 * len(range(0, SPAN.end_ms, 700))


def test_the_event_clock_stands_still_while_the_worker_is_waited_for() -> None:
    sender = FakeSender(HandClock())
    events = Schedule(sample(at) for at in range(0, SPAN.end_ms, 1_000))
    sent_while_waiting = set()

    def waits() -> bool:
        is_behind = 4.0 <= sender.clock.now_s() < 24.0
        if is_behind:
            sent_while_waiting.add(len(sender.sent))
        return is_behind

    feeding = feeder(sender, events, feed_s=10.0, waits=waits)
    feeding.run()

    assert len(sent_while_waiting) == 1
    assert times_of(sender) == list(range(0, SPAN.end_ms, 1_000))
    assert feeding.took_s == pytest.approx(30.0, abs=0.3)


def test_a_stop_ends_the_feeding() -> None:
    sender = FakeSender(HandClock())

    feeder(sender, Schedule(sample(at) for at in range(0, SPAN.end_ms, 1_000))).run(
        stopped=lambda: len(sender.sent) >= 100
    )

    assert 100 <= len(sender.sent) < 200


def test_minutes_with_many_beats_take_longer() -> None:
    pace = Pace(Span(0, 2 * MINUTE_MS), [3_000, 2_000])

    assert pace.at(0.3) == MINUTE_MS // 2
    assert pace.at(0.6) == MINUTE_MS
    assert pace.at(0.8) == MINUTE_MS + MINUTE_MS // 2


def test_the_span_is_over_before_it_is_fed_so_that_no_event_is_from_the_future() -> None:
    span = Span.ending_before(NOW_MS, minutes=24)

    assert NOW_MS - MINUTE_MS < span.end_ms <= NOW_MS
    assert span.start_ms % MINUTE_MS == 0


def incident(minutes: int, file: str = "f.csv") -> Incident:
    rows = [Row({"cdn": "5", "bitrate_kbps": "2000"}, 100, 1), Row({"cdn": "3"}, 100, 1)]
    return Incident(file, [rows] * minutes, 2, [{"cdn": "5"}])


def test_channels_are_staggered_within_the_span_and_lie_in_it_whole() -> None:
    incidents = [incident(length) for length in (20, 5, 5, 5)]

    on = plan(incidents, NOW_MS, Answers(), DEMO)

    starts = [(channel.start_ms - on.span.start_ms) // MINUTE_MS for channel in on.channels]
    assert starts[0] == starts[1] == 0
    assert starts[1] < starts[2] < starts[3]
    assert max(channel.end_ms for channel in on.channels) == on.span.end_ms
    assert [channel.title for channel in on.channels] == [f"channel-0{n}" for n in (1, 2, 3, 4)]


def test_all_channels_together_send_the_beats_that_the_programme_counts() -> None:
    on = plan([incident(6), incident(4)], NOW_MS, Answers(), DEMO)

    sent = [fed for channel in on.channels for fed in ChannelSource(channel).until(on.span.end_ms)]

    assert len(sent) == sum(on.beats)
    assert {fed.spec.name for fed in sent} == {PLAYBACK.name}


def test_labels_stand_on_the_event_clock() -> None:
    on = plan([incident(6)], NOW_MS, Answers(), DEMO)

    assert [label.minute_ms for label in on.labels] == [on.span.start_ms + 2 * MINUTE_MS]


def test_more_beats_than_may_be_fed_a_second_take_longer() -> None:
    slow = DEMO.model_copy(update={"max_beats_per_s": 10.0})

    usual, slowed = (plan([incident(6)], NOW_MS, Answers(), demo) for demo in (DEMO, slow))

    assert usual.feed_s == DEMO.feed_s
    assert slowed.feed_s == pytest.approx(sum(slowed.beats) / 10)


def test_with_time_enough_all_incidents_are_on() -> None:
    on = plan([incident(6)] * 8, NOW_MS, Answers(), DEMO, within_s=DEMO.feed_s)

    assert len(on.channels) == 8


def test_with_little_time_the_first_that_fit_are_on_and_take_no_longer() -> None:
    each = sum(plan([incident(6)], NOW_MS, Answers(), DEMO).beats)
    demo = DEMO.model_copy(update={"max_beats_per_s": each / 2, "feed_s": 1.0})
    many = [incident(6, f"{number}.csv") for number in range(20)]

    on = plan(many, NOW_MS, Answers(), demo, within_s=21.0)

    assert [channel.incident.file for channel in on.channels] == [f"{number}.csv" for number in range(5)]
    assert on.feed_s == pytest.approx(20.0)


def test_with_no_time_left_a_few_are_on_all_the_same() -> None:
    on = plan([incident(6)] * 8, NOW_MS, Answers(), DEMO, within_s=-5.0)

    assert len(on.channels) == LEAST_CHANNELS
    assert on.feed_s > 0


def test_samples_keep_their_distances_and_end_with_the_demo() -> None:
    series = [Series("g/a.csv", "a", "m", [0, 300, 900], [1.0, 2.0, 3.0], [])]

    told = [(at, emission.record) for at, emission in samples(series, SPAN)]

    assert [record.time_ms - SPAN.end_ms for _, record in told] == [-900_000, -600_000, 0]
    assert [at for at, _ in told] == [0, 200_000, 400_000]


def test_one_pipeline_misses_segments_for_a_while_and_the_other_never_does() -> None:
    told = [emission.record for _, emission in segments(SPAN, DEMO)]

    missing = [each for each in told if each.status is SegmentStatus.MISSING]
    assert {each.pipeline for each in told} == {PRIMARY, BACKUP}
    assert {each.pipeline for each in missing} == {PRIMARY}
    window = SPAN.at(DEMO.segments_lost_from), SPAN.at(DEMO.segments_lost_to)
    assert all(window[0] <= each.time_ms < window[1] for each in missing)
    assert all(_covers(each) for each in told)


def _covers(segment: Segment) -> bool:
    return segment.time_ms == (segment.sequence + 1) * segment.duration_ms


def test_actions_are_the_same_for_the_same_seed_and_name_titles_of_the_catalogue() -> None:
    told = [emission.record for _, emission in actions(SPAN, DEMO)]

    titles = {e.record.title for e in reference_data(NOW_MS, DEMO) if e.spec.name == "catalogue"}
    assert told == [emission.record for _, emission in actions(SPAN, DEMO)]
    assert len(told) == 10 * DEMO.actions_per_minute
    assert {each.title for each in told if isinstance(each, ViewerAction) and each.title} <= titles
    assert all(VIEWING.decode(VIEWING.encode(each)) == each for each in told)


def test_policies_let_playhead_act_on_a_canary_only() -> None:
    policies = [e.record for e in reference_data(NOW_MS, DEMO) if e.spec is POLICIES]

    assert {policy.allows.value for policy in policies} == {"steer", "shed", "fail_over"}
    assert all(not policy.dry_run and policy.first_share == DEMO.first_share < 1 for policy in policies)


def loads(nodes: Nodes, until_ms: int) -> dict[str, float]:
    reports = [CDN_NODES.decode(fed.value) for fed in nodes.until(until_ms)]
    return {report.cdn: report.load for report in reports}


def test_a_nodes_load_follows_the_viewers_that_are_moved() -> None:
    answers = Answers()
    on = plan([incident(6)], NOW_MS, answers, DEMO)
    nodes = Nodes(on.channels, on.span, DEMO)
    before = loads(nodes, on.span.start_ms + 1)

    answers.take(
        SteeringAnswer(
            time_ms=0,
            audience="a",
            cell={"title": "channel-01"},
            pathway_priority=["3", "5"],
            away_from="5",
            share=0.5,
            ttl_s=10,
            generation=1,
        )
    )
    after = loads(nodes, on.span.start_ms + MINUTE_MS + 1)

    assert before["5"] == pytest.approx(1 / DEMO.node_headroom)
    assert after["5"] == pytest.approx(before["5"] / 2)
    assert after["3"] > before["3"]
