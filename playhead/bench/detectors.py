"""What a sample costs each detector in CPU time, and what it keeps of a series."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Final

import msgspec
import numpy as np

from config import Settings
from models.anomaly import build
from models.anomaly.bank import BankDetector, Limits
from models.anomaly.base import Detector
from models.anomaly.discord import Discord
from models.anomaly.distribution import MedianShift, RelativeEntropy
from models.anomaly.seasons import RobustSeasonalResidual
from models.anomaly.signals import Calm, OutOfRange, Signal

MINUTE_MS: Final = 60_000
_DAY_MS: Final = 86_400_000


class DetectorCost(msgspec.Struct, frozen=True, kw_only=True):
    """The cost of one detector, to score and learn a sample."""

    detector: str
    us_per_sample: float
    state_bytes: int


def run(settings: Settings, *, samples: int, report: Callable[[str], None]) -> list[DetectorCost]:
    """Return the cost of each detector over a noisy daily wave, a sample a minute."""
    rng = np.random.default_rng(1)
    minutes = np.arange(samples)
    values = (100.0 + 20.0 * np.sin(minutes * 2 * np.pi / 1440) + rng.normal(0.0, 2.0, samples)).tolist()
    costs = []
    for name, make in _makers(settings).items():
        report(name)
        detector = make()
        start = time.process_time()
        for minute, value in enumerate(values):
            detector.score_one(minute * MINUTE_MS, value)
            detector.learn_one(minute * MINUTE_MS, value)
        seconds = time.process_time() - start
        costs.append(
            DetectorCost(
                detector=name, us_per_sample=seconds / samples * 1e6, state_bytes=len(detector.snapshot())
            )
        )
    return costs


def _makers(settings: Settings) -> dict[str, Callable[[], Detector]]:
    detection, past, single = settings.detection, settings.ensemble, settings.detectors
    signals: dict[str, Callable[[], Signal]] = {
        "robust season of the day": lambda: RobustSeasonalResidual(
            _DAY_MS, past.day_buckets, past.day_rate, past.robust_spread_rate
        ),
        "learned period": lambda: build.learned_period_residual(single),
        "autoregression": lambda: build.autoregressive_residual(single),
        "medians": lambda: MedianShift(past.median_short_samples, past.median_long_samples),
        "relative entropy": lambda: RelativeEntropy(
            past.entropy_bins, past.entropy_window, past.entropy_rate, past.entropy_scoring_samples
        ),
        "discord": lambda: Discord(past.discord_lengths[0], past.discord_history),
        "out of range": OutOfRange,
        "calm": lambda: Calm(past.calm_samples),
    }
    return {
        "BankDetector": lambda: BankDetector(build.bank_figures(detection), Limits()),
        "ZScore": lambda: build.zscore(detection),
        "InterquartileRange": lambda: build.interquartile_range(detection),
        "ForecastError": lambda: build.forecast_error(detection),
        "HalfSpaceTrees": lambda: build.half_space_trees(detection, seed=1),
        "PageHinkley": lambda: build.page_hinkley(single, detection),
        "Adwin": lambda: build.adwin(single),
        "BayesianChangePoint": lambda: build.bayesian_change_point(single, detection),
        "SparseCount": lambda: build.sparse_count(single),
        **{f"SignalDetector: {name}": partial(_listening, make, settings) for name, make in signals.items()},
        "PerSeriesEnsemble": lambda: build.ensemble(past, detection),
    }


def _listening(make: Callable[[], Signal], settings: Settings) -> Detector:
    return build.signal_detector(make(), settings.detectors, settings.ensemble)
