from __future__ import annotations

from typing import Any
from unittest.mock import patch

import msgspec
import numpy as np
import pytest
from fake_batch import FakeBatch
from hypothesis import given, settings
from hypothesis import strategies as st

import config
from agents import sample_reader
from agents.telemetry import SampleScorer
from topics import ANOMALIES, SPENDING, TELEMETRY
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
    assert all(emission.spec in (ANOMALIES, SPENDING) for emission in emissions)
    return [emission.record for emission in emissions if emission.spec is ANOMALIES]


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


def test_learned_and_static_rules_spend_from_one_ledger_at_one_level() -> None:
    """One metric crosses its critical bound; another has no bounds, and leaves what was learned."""
    rng, model, minutes = np.random.default_rng(8), scorer(), 6_000
    normal = rng.normal((300.0, 40.0), (5.0, 1.0), (minutes, 2))
    normal[minutes - 20 :] = (9_000.0, 52.0)
    names = ("latency_p99_ms", "queue_depth")
    rows = [
        sample(60.0 * minute, value, metric)
        for minute, values in enumerate(normal.tolist())
        for metric, value in zip(names, values, strict=True)
    ]

    emissions = model.process(batch(*rows))
    emissions += model.process(batch(sample(60.0 * minutes, 300.0), first_offset=len(rows)))

    paging = [each for each in anomalies(emissions) if each.pages]
    ledgers = [each.record for each in emissions if each.spec is SPENDING]
    newest = max(ledgers, key=lambda each: each.time_ms)
    assert {(each.metric, each.bound is None) for each in paging} == {(names[0], False), (names[1], True)}
    assert paging[0].page_level == pytest.approx(paging[-1].page_level, rel=0.01)
    assert all(each.p_value is not None and each.p_value <= each.page_level for each in paging)
    assert {each.detector for each in ledgers} == {"telemetry/1"}
    assert (newest.pages, newest.static_pages, newest.tests) == (2, 1, len(rows) + 1)


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


# Rows of several series in records of every kind: what is told must be what the samples say one by one.

SERIES: tuple[tuple[str, str, dict[str, str]], ...] = (
    ("payment", "latency_p99_ms", {}),
    ("payment", "error_rate", {}),
    ("user", "latency_p99_ms", {"az": "1", "region": "eu"}),
    ("a/b", "c", {}),
    ("a", "b/c", {}),
)
BAD = (
    None,
    b"",
    b"{",
    b'{"time_ms": 1, "service": "payment", "metric": "latency_p99_ms", "value": 1e999}',
    b'{"time_ms": 1, "service": "payment", "metric": "latency_p99_ms", "value": 7, "id": 5}',
    b'{"time_ms": 4102444800001, "service": "payment", "metric": "latency_p99_ms", "value": 7}',
    b'{"time_ms": 1, "service": "payment", "metric": "latency_p99_ms", "value": 7, "tags": {"a": 1}}',
    b'{"time_ms": 1, "service": "payment"},{"metric": "latency_p99_ms", "value": 7}',
)
BAD_PACKS = (
    None,
    b"[]",
    b'{"series": ["payment"], "which": [0], "time_ms": [1], "value": [1]}',
    b'{"series": ["a/b"], "which": [0, 1], "time_ms": [1, 1], "value": [1, 1]}',
    b'{"series": ["a/b"], "which": [-1], "time_ms": [1], "value": [1]}',
    b'{"series": ["a/b"], "which": [0], "time_ms": [1, 2], "value": [1]}',
    b'{"series": ["a/b"], "which": [0], "time_ms": [], "value": [1]}',
    b'{"series": ["a/b"], "which": [0], "time_ms": [36893488147419103232], "value": [1]}',
    b'{"series": ["a/b"], "which": [0], "time_ms": [4102444800001], "value": [1]}',
)


def rows_of_many_series(count: int) -> list[Sample]:
    rng = np.random.default_rng(11)
    values = rng.normal(300.0, 5.0, count) * np.where(rng.random(count) < 0.02, 40.0, 1.0)
    return [
        Sample(time_ms=START_MS + n * 100, service=service, metric=metric, tags=tags, value=float(values[n]))
        for n, (service, metric, tags) in ((n, SERIES[int(rng.integers(len(SERIES)))]) for n in range(count))
    ]


Row = tuple[bytes | None, bytes | None, int, bool]


def single(row: Sample, key: bytes | None) -> Row:
    return key, TELEMETRY.encode(row), START_MS + HOUR_MS, False


def packed(rows: list[Sample]) -> Row:
    names = [TELEMETRY.key_of(row) for row in rows]
    series = sorted(set(names))
    columns = Samples(
        series=series,
        which=[series.index(name) for name in names],
        time_ms=[row.time_ms for row in rows],
        value=[row.value for row in rows],
    )
    return b"", msgspec.json.encode(columns), START_MS + HOUR_MS, True


record_kinds = st.one_of(
    st.sampled_from(["own key", "own key", "own key", "no key", "key of another"]).map(
        lambda kind: (kind, 1)
    ),
    st.tuples(st.just("packed"), st.integers(1, 30)),
    st.tuples(st.just("bad"), st.integers(0, len(BAD) - 1)),
    st.tuples(st.just("bad pack"), st.integers(0, len(BAD_PACKS) - 1)),
)


def in_records(rows: list[Sample], kinds: list[tuple[str, int]]) -> tuple[list[Row], int]:
    """Return the rows in records of the kinds given, then under their own keys; and how many are bad."""
    records: list[Row] = []
    at = bad = 0
    for kind, number in kinds:
        row = rows[at]
        key = TELEMETRY.key_of(row).encode()
        if kind == "bad":
            records.append((b"payment/latency_p99_ms", BAD[number], START_MS, False))
            bad += 1
        elif kind == "bad pack":
            records.append((b"", BAD_PACKS[number], START_MS, True))
            bad += 1
        elif kind == "packed":
            records.append(packed(rows[at : at + number]))
            at += number
        else:
            records.append(
                single(
                    row, {"own key": key, "no key": None, "key of another": b"payment/latency_p99_ms"}[kind]
                )
            )
            at += 1
    return records + [single(row, TELEMETRY.key_of(row).encode()) for row in rows[at:]], bad


def said(anomalies: list[Anomaly]) -> list[Any]:
    """What an anomaly says apart from where its sample stood."""
    return [
        (a.time_ms, a.series, a.phase, a.severity, a.score, a.value, a.baseline, a.p_value) for a in anomalies
    ]


def known(model: SampleScorer) -> dict[bytes, list[Any]]:
    """What is known of each series, wherever it is kept."""
    columns = [getattr(model._bank, name) for name in model._bank._state_names()]
    return {
        name: [column[slot].tobytes() for column in columns] for name, slot in model._series.slots.items()
    }


MANY = rows_of_many_series(600)
PLAIN = scorer()
TOLD = said(anomalies(PLAIN.process(FakeBatch("telemetry", 1, [single(row, None) for row in MANY]))))


@settings(max_examples=40, deadline=None)
@given(
    st.lists(record_kinds, max_size=25),
    st.lists(st.integers(1, 200), max_size=8),
    st.sampled_from([1, 7, sample_reader.PIECE]),
)
def test_samples_are_scored_the_same_in_whatever_records_batches_and_pieces_they_come(
    kinds: list[tuple[str, int]], sizes: list[int], piece: int
) -> None:
    records, bad = in_records(MANY, kinds)
    model = scorer()
    told: list[Anomaly] = []
    refused = processed = at = 0

    for size in [*sizes, len(records)]:
        if records[at : at + size]:
            taken = FakeBatch("telemetry", 1, records[at : at + size], first_offset=at)
            with patch.object(sample_reader, "PIECE", piece):
                told += anomalies(model.process(taken))
            refused, processed = refused + len(taken.refusals), processed + taken.processed
        at += size

    assert len(TOLD) > 5
    assert said(told) == TOLD
    assert (refused, processed) == (bad, len(MANY))
    assert known(model) == known(PLAIN)


def test_a_record_that_contradicts_its_key_is_scored_as_the_series_it_names() -> None:
    model = scorer()
    model.process(batch(*steady(200)))
    model.process(batch(*(sample(n, 0.5, "cpu") for n in range(200)), first_offset=200))

    # Under the key of the latency a value that is wild for the cpu alone, and the other way round.
    lying = [sample(201 + n, 300.0, "cpu") for n in range(3)]
    told = anomalies(model.process(batch(*lying, first_offset=400, key=b"payment/latency_p99_ms")))

    assert {anomaly.series for anomaly in told} == {"payment/cpu"}


def test_a_record_that_spells_a_known_key_with_a_name_that_is_none_is_refused() -> None:
    model = scorer()
    model.process(batch(sample(0, 300.0, metric="c", service="/b")))
    nameless = b'{"time_ms": %d, "service": "", "metric": "b/c", "value": 7}' % START_MS
    taken = FakeBatch("telemetry", 1, [(b"/b/c", nameless, START_MS, False)], first_offset=1)

    model.process(taken)

    assert len(taken.refusals) == 1
    assert taken.processed == 0


def test_series_beyond_the_most_are_refused_and_the_others_go_on() -> None:
    figures = SETTINGS.detection.model_copy(update={"max_series": 2})
    model = SampleScorer(1, SETTINGS.model_copy(update={"detection": figures}))
    rows = [sample(n // 3, 300.0, f"metric_{n % 3}") for n in range(30)]

    one_by_one, together = batch(*rows[:15]), FakeBatch("telemetry", 1, [packed(rows[15:])], first_offset=15)
    model.process(one_by_one)
    model.process(together)

    assert [index for index, _, _ in one_by_one.refusals] == [2, 5, 8, 11, 14]
    assert [(index, inside) for index, _, inside in together.refusals] == [(0, n) for n in (2, 5, 8, 11, 14)]
    assert {reason for _, reason, _ in one_by_one.refusals + together.refusals} == {
        "series 'payment/metric_2' is one too many: the partition has 2 (detection.max_series)"
    }
    assert one_by_one.processed + together.processed == 20


def tagged(row: Sample, tag_bytes: int) -> Sample:
    return msgspec.structs.replace(row, tags={f"tag_{n}": "x" * tag_bytes for n in range(10)})


def test_what_is_told_of_a_series_with_many_long_tags_keeps_to_its_contract() -> None:
    model = scorer()
    model.process(batch(*(tagged(row, 100) for row in steady(200))))

    bad = (tagged(sample(200 + n, 9_000.0), 100) for n in range(5))
    (start,) = anomalies(model.process(batch(*bad, first_offset=200)))

    assert len(start.series) > 1_000
    assert ANOMALIES.decode(ANOMALIES.encode(start)) == start


def test_a_series_whose_name_is_too_long_to_be_told_of_is_refused_and_the_others_go_on() -> None:
    rows = [tagged(sample(0, 300.0), 400), sample(0, 300.0)]
    model = scorer()

    one_by_one, together = batch(*rows), FakeBatch("telemetry", 1, [packed(rows)], first_offset=2)
    model.process(one_by_one)
    model.process(together)

    assert [(index, inside) for index, _, inside in one_by_one.refusals + together.refusals] == [
        (0, None),
        (0, 0),
    ]
    assert all("has a name of 4," in reason for _, reason, _ in one_by_one.refusals + together.refusals)
    assert one_by_one.processed + together.processed == 2


def test_a_packed_record_with_a_service_too_long_to_be_told_of_is_refused() -> None:
    together = FakeBatch("telemetry", 1, [packed([sample(0, 300.0, service="s" * 201)])])

    scorer().process(together)

    ((index, reason, _),) = together.refusals
    assert (index, "service or metric of over 200 characters" in reason) == (0, True)


def test_a_series_that_expires_makes_room_for_another() -> None:
    figures = SETTINGS.detection.model_copy(update={"max_series": 1})
    model = SampleScorer(1, SETTINGS.model_copy(update={"detection": figures}))
    model.process(batch(sample(0, 300.0)))

    later = batch(sample(200_000, 1.0, service="other"), first_offset=1)
    model.process(later)

    assert (later.refusals, later.processed) == ([], 1)


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
