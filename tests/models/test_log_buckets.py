from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from steady import steady

from models.log_buckets import LogBuckets

ACCURACY = 0.05
BUCKETS = LogBuckets(lowest=20.0, highest=120_000.0, accuracy=ACCURACY)

durations = st.lists(st.floats(20.0, 119_000.0), min_size=1, max_size=200)


def counted(values: list[float]) -> np.ndarray:
    return np.bincount(BUCKETS.of(np.array(values)), minlength=BUCKETS.count).astype(float)


@settings(steady)
@given(durations, st.sampled_from([0.05, 0.5, 0.95]))
def test_a_quantile_is_off_by_no_more_than_the_accuracy(values: list[float], share: float) -> None:
    exact = float(np.quantile(values, share, method="inverted_cdf"))

    found = BUCKETS.quantile(counted(values), share)

    assert found == pytest.approx(exact, rel=ACCURACY + 1e-9)


@settings(steady)
@given(durations, durations)
def test_the_sum_of_two_sketches_is_the_sketch_of_both(one: list[float], other: list[float]) -> None:
    assert (counted(one) + counted(other) == counted(one + other)).all()


def test_what_lies_outside_counts_in_the_first_or_the_last() -> None:
    assert BUCKETS.of(np.array([0, 19, 20, 10_000_000])).tolist() == [0, 0, 0, BUCKETS.count - 1]
