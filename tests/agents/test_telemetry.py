from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest
from fake_batch import FakeBatch
from hypothesis import given, settings
from hypothesis import strategies as st

import config
from agents.telemetry import SampleScorer
from topics import ANOMALIES, TELEMETRY
from topics.anomalies import Anomaly, AnomalyKind, Phase, Severity
from topics.telemetry import Sample, Samples

SETTINGS = config.load({}).settings
START_MS = 1_700_000_000_000
HOUR_MS = 3_600_000


def scorer() -> SampleScorer:
    return SampleScorer(1, SETTINGS)


def sample(second: float, value: float, metric: str = "latency_p99_ms", service: str = "payment") -> Sample:
    return Sample(time_ms=START_MS + int(second * 1000), service=service, metric=metric, value=value)


def batch(
    *rows: Sample, first_offset: int = 0, arrived_ms: int | None = None, key: bytes | None = b"?"
) -> FakeBatch:
    records = [
        (
            TELEMETRY.key_of(row).encode() if key == b"?" else key,
            TELEMETRY.encode(row),
            row.time_ms if arrived_ms is None else arrived_ms,
            False,
        )
        for row in rows
    ]
    return FakeBatch("telemetry", 1, records, first_offset)


def anomalies(emissions: list[Any]) -> list[Anomaly]:
    assert all(emission.spec is ANOMALIES for emission in emissions)
    return [emission.record for emission in emissions]


def steady(count: int, seed: int = 0) -> list[Sample]:
    values = np.random.default_rng(seed).normal(300, 5, count)
    return [sample(second, float(value)) for second, value in enumerate(values)]


def test_an_episode_has_one_start_and_one_end() -> None:
    model = scorer()
    quiet = anomalies(model.process(batch(*steady(200))))

    bad = anomalies(model.process(batch(*(sample(200 + n, 9_000.0) for n in range(30)), first_offset=200)))
    well = anomalies(model.process(batch(*(sample(230 + n, 300.0) for n in range(30)), first_offset=230)))

    assert quiet == []
    assert [(a.phase, a.severity) for a in bad] == [(Phase.START, Severity.CRITICAL)]
    assert [a.phase for a in well] == [Phase.END]
    start = bad[0]
    assert (start.subject, start.series) == ("payment", "payment/latency_p99_ms")
    assert start.kind is AnomalyKind.LATENCY_SPIKE
    assert start.bound == 5_000
    assert start.baseline == pytest.approx(300, abs=5)
    assert start.evidence is not None
    assert start.evidence.offset == 200
    assert start.origin_ms == sample(200, 0).time_ms


def stream() -> list[Sample]:
    rows = steady(300, seed=3)
    for at in (*range(150, 160), *range(250, 255)):
        rows[at] = sample(at, 9_000.0)
    return rows


def told(model: SampleScorer, rows: list[Sample], sizes: list[int], first: int = 0) -> list[Anomaly]:
    said: list[Anomaly] = []
    at = 0
    for size in [*sizes, len(rows)]:
        if rows[at : at + size]:
            said += anomalies(model.process(batch(*rows[at : at + size], first_offset=first + at)))
        at += size
    return said


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(1, 80), max_size=10))
def test_where_batches_end_changes_nothing_that_is_told(sizes: list[int]) -> None:
    assert told(scorer(), stream(), sizes) == told(scorer(), stream(), [])


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 300))
def test_a_snapshot_restored_mid_stream_tells_the_same(cut: int) -> None:
    rows = stream()
    first, second = scorer(), scorer()

    before = told(first, rows[:cut], [])
    second.restore(first.snapshot())

    assert before + told(second, rows[cut:], [], first=cut) == told(scorer(), rows, [])


def test_records_with_many_samples_are_scored_as_the_samples_inside() -> None:
    rows = stream()
    columns = Samples(
        series=["payment/latency_p99_ms"],
        which=[0] * len(rows),
        time_ms=[row.time_ms for row in rows],
        value=[row.value for row in rows],
    )
    packed = FakeBatch("telemetry", 1, [(b"", msgspec.json.encode(columns), rows[-1].time_ms, True)])

    said = anomalies(scorer().process(packed))

    assert [(a.phase, a.time_ms) for a in said] == [(a.phase, a.time_ms) for a in told(scorer(), rows, [])]
    assert packed.processed == len(rows)


@pytest.mark.parametrize("key", [None, b"", b"another"])
def test_a_key_that_is_not_the_series_name_never_mixes_series(key: bytes | None) -> None:
    model = scorer()
    rows = [sample(n, 300.0 if n % 2 else 0.5, "latency_p99_ms" if n % 2 else "cpu") for n in range(300)]

    said = anomalies(model.process(batch(*rows, key=key)))

    assert said == []


@pytest.mark.parametrize(
    "bad",
    [
        None,
        b"",
        b"{",
        b"{}",
        b'{"time_ms": 1, "service": "payment", "metric": "m", "value": NaN}',
        b'{"time_ms": 1, "service": "payment", "metric": "m", "value": Infinity}',
        b'{"time_ms": 1, "service": "payment", "metric": "m", "value": 1e999}',
        b'{"time_ms": 1, "service": "payment", "metric": "m", "value": "7"}',
        b'{"time_ms": 1, "service": "payment", "value": 7}',
        b'{"time_ms": -1, "service": "payment", "metric": "m", "value": 7}',
        b'{"time_ms": 1.5, "service": "payment", "metric": "m", "value": 7}',
    ],
)
def test_one_bad_record_is_refused_and_the_others_count(bad: bytes | None) -> None:
    model = scorer()
    model.process(batch(*steady(10)))
    good = sample(10, 300.0)
    key = TELEMETRY.key_of(good).encode()

    mixed = FakeBatch(
        "telemetry",
        1,
        [
            (key, value, good.time_ms, False)
            for value in (TELEMETRY.encode(good), bad, TELEMETRY.encode(good))
        ],
    )
    model.process(mixed)

    assert [index for index, _, _ in mixed.refusals] == [1]
    assert mixed.processed == 2


def test_samples_from_the_future_and_long_late_ones_are_refused() -> None:
    model = scorer()
    now_ms = sample(0, 0).time_ms
    rows = [sample(0, 300.0), sample(3_600, 300.0), sample(-3_600, 300.0), sample(1, 300.0)]

    mixed = batch(*rows, arrived_ms=now_ms)
    model.process(mixed)

    assert [(index, reason.split(":")[0]) for index, reason, _ in mixed.refusals] == [
        (1, "time_ms"),
        (2, "late"),
    ]
    assert (mixed.processed, mixed.late) == (2, 1)


def test_a_series_silent_too_long_is_forgotten_and_its_episode_ends() -> None:
    model = scorer()
    model.process(batch(*steady(200)))
    model.process(batch(*(sample(200 + n, 9_000.0) for n in range(5)), first_offset=200))

    said = anomalies(model.process(batch(sample(200_000, 1.0, service="other"), first_offset=205)))

    assert [(a.series, a.phase) for a in said] == [("payment/latency_p99_ms", Phase.END)]
    assert "silent" in said[0].detail
    again = batch(sample(200_001, 300.0), first_offset=206)
    assert model.process(again) == []
    assert again.processed == 1


def test_changed_figures_make_a_restored_scorer_learn_anew_rather_than_die() -> None:
    model = scorer()
    model.process(batch(*steady(200)))
    changed = config.load({"PLAYHEAD_DETECTION__Z_HIGH": "4"}).settings

    other = SampleScorer(1, changed)
    other.restore(model.snapshot())

    assert other.process(batch(sample(200, 9_000.0), first_offset=200)) != []
