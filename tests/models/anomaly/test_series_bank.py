"""A bank judges and learns each event as the series' own scalar detector would, whatever the batches."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config import load
from models.anomaly import build
from models.anomaly.bank import BankDetector, BankFigures, EpisodePhase, Limits, Verdict
from models.anomaly.rounds import NARROW
from models.anomaly.state import SnapshotError
from models.anomaly.vectorised import SeriesBank
from models.anomaly.verdicts import BatchVerdicts
from models.budget.evidence import EvidenceFigures
from topics.anomalies import Severity

QUICK = BankFigures(
    rate=0.05,
    scoring_samples=5,
    baseline_samples=10,
    high=3.0,
    critical=5.0,
    flagged_weight=0.1,
    relearn_after=8,
    open_after=(3, 2, 2, 1),
    clear_after=2,
    page_after=2,
    evidence=EvidenceFigures(
        prior_episodes=2.0,
        prior_excess=1.0,
        most_excess=10.0,
        reach=2.5,
        acquaintance_ms=1000,
        static_samples=1e4,
        static_weight=0.01,
    ),
)
PAGE_LOG_P = -5.0
"""A level that some of the episodes below reach."""
LIMITS = (
    Limits(),
    Limits(worse=1),
    Limits(worse=-1, noise=0.5),
    Limits(worse=1, warn=60.0, critical=200.0),
    Limits(worse=-1, warn=-60.0, critical=-200.0, noise=1.0),
)

NOW_MS = 1500
OPENED_MS = (0, 0, 1000)
"""Two of three series have been known long enough to page for what was learned of them."""

Batch = tuple[npt.NDArray[np.int32], npt.NDArray[np.float64]]


def open_bank(series: int, figures: BankFigures = QUICK) -> SeriesBank:
    bank = SeriesBank(figures)
    for slot in range(series):
        bank.open(slot, LIMITS[slot % len(LIMITS)], time_ms=OPENED_MS[slot % len(OPENED_MS)])
    return bank


def step(bank: SeriesBank, batch: Batch, time_ms: int = NOW_MS) -> BatchVerdicts:
    slots, values = batch
    return bank.step_many(slots, np.full(len(slots), time_ms, dtype=np.int64), values, PAGE_LOG_P)


def one_by_one(series: int, batches: list[Batch], figures: BankFigures = QUICK) -> list[list[Verdict]]:
    detectors = [
        BankDetector(figures, LIMITS[slot % len(LIMITS)], OPENED_MS[slot % len(OPENED_MS)])
        for slot in range(series)
    ]
    return [
        [
            detectors[slot].step_one(NOW_MS, value, PAGE_LOG_P)
            for slot, value in zip(slots, values, strict=True)
        ]
        for slots, values in ((slots.tolist(), values.tolist()) for slots, values in batches)
    ]


def assert_same(batch: BatchVerdicts, singly: list[Verdict]) -> None:
    close: dict[str, Any] = {"rtol": 1e-9, "atol": 1e-9, "equal_nan": True}
    np.testing.assert_allclose(batch.score, [verdict.score for verdict in singly], **close)
    told = [at for at, verdict in enumerate(singly) if verdict.severity or verdict.phase]
    assert batch.event.tolist() == told
    assert batch.severity.tolist() == [singly[at].severity for at in told]
    assert batch.phase.tolist() == [singly[at].phase for at in told]
    np.testing.assert_allclose(batch.baseline, [singly[at].baseline for at in told], **close)
    np.testing.assert_allclose(batch.deviation_sigmas, [singly[at].deviation_sigmas for at in told], **close)
    np.testing.assert_array_equal(batch.bound, [singly[at].bound for at in told])
    np.testing.assert_allclose(batch.log_p, [singly[at].log_p for at in told], **close)
    assert batch.pages.tolist() == [singly[at].pages for at in told]


values = st.one_of(
    st.floats(-3.0, 3.0),
    st.sampled_from([0.0, 1.0, 50.0, -50.0, 70.0, 300.0, -300.0, 1e6, 1e308, -1e308, 5e-324]),
)
batches = st.lists(
    st.lists(st.tuples(st.integers(0, 6), values), max_size=60).map(
        lambda events: (
            np.array([slot for slot, _ in events], dtype=np.int32),
            np.array([value for _, value in events], dtype=np.float64),
        )
    ),
    max_size=8,
)


@settings(deadline=None, max_examples=150)
@given(batches)
def test_busy_series_are_stepped_as_one_by_one(stream: list[Batch]) -> None:
    bank = open_bank(7)

    verdicts = [step(bank, batch) for batch in stream]

    for batch, singly in zip(verdicts, one_by_one(7, stream), strict=True):
        assert_same(batch, singly)


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 2**32 - 1),
    series=st.integers(NARROW, 3 * NARROW),
    calm=st.floats(0.5, 1.0),
    cuts=st.lists(st.integers(1, 2999), max_size=12),
)
def test_rounds_of_many_series_are_stepped_as_one_by_one(
    seed: int, series: int, calm: float, cuts: list[int]
) -> None:
    rng = np.random.default_rng(seed)
    slots = rng.integers(0, series, 3000).astype(np.int32)
    events = rng.normal(0.0, 1.0, 3000) * np.where(rng.random(3000) < calm, 1.0, 1000.0)
    edges = [0, *sorted(set(cuts)), 3000]
    stream = [(slots[a:b], events[a:b]) for a, b in pairwise(edges)]
    bank = open_bank(series)

    verdicts = [step(bank, batch) for batch in stream]

    for batch, singly in zip(verdicts, one_by_one(series, stream), strict=True):
        assert_same(batch, singly)


def noisy_stream(series: int, events: int, seed: int = 3) -> Batch:
    rng = np.random.default_rng(seed)
    noise = rng.normal(0.0, 1.0, events)
    noise[rng.random(events) < 0.02] *= 30.0
    return rng.integers(0, series, events).astype(np.int32), noise


def test_how_a_stream_is_cut_into_batches_changes_nothing_to_the_last_bit() -> None:
    slots, events = noisy_stream(series=200, events=20_000)
    whole, cut = open_bank(200), open_bank(200)

    at_once = step(whole, (slots, events))
    pieces = [step(cut, (slots[at : at + 77], events[at : at + 77])) for at in range(0, 20_000, 77)]

    np.testing.assert_array_equal(at_once.score, np.concatenate([piece.score for piece in pieces]))
    np.testing.assert_array_equal(at_once.phase, np.concatenate([piece.phase for piece in pieces]))
    np.testing.assert_array_equal(at_once.pages, np.concatenate([piece.pages for piece in pieces]))
    assert at_once.pages.any()
    assert whole.snapshot() == cut.snapshot()


def test_a_batch_is_unharmed() -> None:
    slots, events = noisy_stream(series=60, events=2000)
    given_slots, given_events = slots.copy(), events.copy()
    times = np.arange(2000)

    open_bank(60).step_many(slots, times, events)

    np.testing.assert_array_equal(slots, given_slots)
    np.testing.assert_array_equal(events, given_events)
    np.testing.assert_array_equal(times, np.arange(2000))


def test_an_empty_batch_has_no_verdicts() -> None:
    verdicts = step(open_bank(3), (np.zeros(0, dtype=np.int32), np.zeros(0)))

    assert [len(column) for column in verdicts] == [0] * 9


def test_a_bank_restored_mid_stream_goes_on_the_same() -> None:
    slots, events = noisy_stream(series=100, events=9000)
    bank, restored = open_bank(100), SeriesBank(QUICK)
    step(bank, (slots[:5000], events[:5000]))

    restored.restore(bank.snapshot())

    rest = (slots[5000:], events[5000:])
    for ours, theirs in zip(step(bank, rest), step(restored, rest), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert restored.snapshot() == bank.snapshot()


def test_a_snapshot_taken_with_other_figures_is_refused() -> None:
    figures = build.bank_figures(load({}).settings.detection)

    with pytest.raises(SnapshotError, match="figures"):
        open_bank(3, figures).restore(open_bank(3).snapshot())


def test_slots_are_opened_in_any_order_and_arrays_double() -> None:
    bank = SeriesBank(QUICK)
    bank.open(5000, Limits(), time_ms=0)
    grown = bank.capacity
    bank.open(2, Limits(), time_ms=0)

    assert grown == bank.capacity == 8192
    assert len(step(bank, (np.array([5000, 2], dtype=np.int32), np.array([1.0, 2.0]))).score) == 2


def test_growing_keeps_what_series_know() -> None:
    slots, events = noisy_stream(series=50, events=4000)
    grown, roomy = open_bank(50), open_bank(50)
    roomy.open(9000, Limits(), time_ms=0)
    step(grown, (slots, events))
    step(roomy, (slots, events))

    grown.open(9000, Limits(), time_ms=0)

    assert grown.snapshot() == roomy.snapshot()


def test_a_series_costs_a_hundred_and_twelve_bytes() -> None:
    bank = SeriesBank(QUICK)
    bank.open(2**16 - 1, Limits(), time_ms=0)

    assert len(bank.snapshot()) / bank.capacity == pytest.approx(112, abs=0.1)


def test_idle_series_are_freed_once_with_the_episodes_they_leave_open() -> None:
    bank = open_bank(3)
    calm = np.array([0, 1, 2] * 20, dtype=np.int32)
    step(bank, (calm, np.tile([0.0, 0.1, 0.2], 20)), time_ms=1000)
    step(bank, (np.array([0], dtype=np.int32), np.array([1e6])), time_ms=2000)
    step(bank, (np.array([2], dtype=np.int32), np.array([0.2])), time_ms=9000)

    expired = bank.expire_before(5000)

    assert expired.slots.tolist() == [0, 1]
    assert expired.open_severity.tolist() == [Severity.CRITICAL, 0]
    assert bank.expire_before(5000).slots.tolist() == []


def test_a_series_opened_and_never_heard_of_expires_too() -> None:
    bank = SeriesBank(QUICK)
    bank.open(7, Limits(), time_ms=1000)

    assert bank.expire_before(1000).slots.tolist() == []
    assert bank.expire_before(1001).slots.tolist() == [7]


def test_a_late_event_does_not_make_its_series_older() -> None:
    bank = open_bank(1)
    slots = np.array([0, 0], dtype=np.int32)

    bank.step_many(slots, np.array([9000, 1000]), np.array([1.0, 1.0]))

    assert bank.expire_before(9000).slots.tolist() == []


def test_a_slot_opened_again_has_forgotten_the_series_before() -> None:
    bank, fresh = open_bank(1), open_bank(1)
    step(bank, (np.zeros(40, dtype=np.int32), np.linspace(0.0, 1e3, 40)))
    bank.expire_before(1)

    bank.open(0, LIMITS[0], time_ms=0)

    assert bank.snapshot() == fresh.snapshot()


def test_a_slot_that_is_not_open_or_a_value_that_is_not_finite_is_caught() -> None:
    bank = open_bank(2)

    with pytest.raises(AssertionError, match="not open"):
        step(bank, (np.array([3], dtype=np.int32), np.array([1.0])))
    with pytest.raises(AssertionError, match="not finite"):
        step(bank, (np.array([1], dtype=np.int32), np.array([np.nan])))


def test_phases_of_a_batch_tell_one_episode() -> None:
    bank = SeriesBank(QUICK)
    bank.open(0, Limits(worse=1), time_ms=0)
    calm = [0.0, 0.1] * 10
    stream = [*calm, 1.0e3, 1.0e3, 0.0, 1.0e3, 0.0, 0.1, 0.0]

    slots = np.zeros(len(stream), dtype=np.int32)
    verdicts = bank.step_many(slots, slots.astype(np.int64), np.array(stream))

    changes = [
        (int(at), int(phase)) for at, phase in zip(verdicts.event, verdicts.phase, strict=True) if phase
    ]
    assert changes == [(20, EpisodePhase.STARTED), (25, EpisodePhase.ENDED)]
