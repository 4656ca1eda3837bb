"""Every detector passes every check."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from config import load
from models.anomaly import build
from models.anomaly.bank import BankDetector, Limits
from models.anomaly.distribution import MedianShift, RelativeEntropy
from models.anomaly.seasons import RobustSeasonalResidual
from models.anomaly.signal_detector import SignalDetector
from models.anomaly.signals import Signal
from models.anomaly.thresholds import StaticThreshold
from tests.checks.detector_checks import Factory, check_detector

SETTINGS = load({}).settings
DETECTION, ENSEMBLE, SINGLE = SETTINGS.detection, SETTINGS.ensemble, SETTINGS.detectors
DAY_MS = 86_400_000


def by_signal(signal: Signal) -> SignalDetector:
    return build.signal_detector(signal, SINGLE, ENSEMBLE)


DETECTORS: dict[str, Factory] = {
    "StaticThreshold": lambda: StaticThreshold(warn=200.0, critical=500.0),
    "ZScore": lambda: build.zscore(DETECTION),
    "InterquartileRange": lambda: build.interquartile_range(DETECTION),
    "ForecastError": lambda: build.forecast_error(DETECTION),
    "HalfSpaceTrees": lambda: build.half_space_trees(DETECTION, seed=1),
    "PerSeriesEnsemble": lambda: build.ensemble(ENSEMBLE, DETECTION),
    "PageHinkley": lambda: build.page_hinkley(SINGLE, DETECTION),
    "Adwin": lambda: build.adwin(SINGLE),
    "BayesianChangePoint": lambda: build.bayesian_change_point(SINGLE, DETECTION),
    "SignalDetector of an autoregression": lambda: by_signal(build.autoregressive_residual(SINGLE)),
    "SignalDetector of a learned period": lambda: by_signal(build.learned_period_residual(SINGLE)),
    "SignalDetector of relative entropy": lambda: by_signal(RelativeEntropy(32, 12, 0.0002, 200)),
    "SignalDetector of medians": lambda: by_signal(MedianShift(12, 100)),
    "SignalDetector of a robust season": lambda: by_signal(RobustSeasonalResidual(DAY_MS, 48, 0.2, 0.002)),
    "ShapedDetector": lambda: build.shaped_detector(build.zscore(DETECTION), SINGLE),
    "BankDetector": lambda: BankDetector(build.bank_figures(DETECTION), Limits()),
    "BankDetector with limits": lambda: BankDetector(
        build.bank_figures(DETECTION), Limits(worse=1, warn=200.0, critical=500.0, noise=0.5)
    ),
}


OF_WHAT_LASTS = frozenset(
    {
        "PageHinkley",
        "Adwin",
        "SignalDetector of a learned period",
        "SignalDetector of relative entropy",
        "SignalDetector of medians",
    }
)
"""One wild sample is nothing to these; what they see is tested with them."""


@pytest.mark.parametrize(
    "check",
    [
        pytest.param(check, id=f"{detector}-{name}")
        for detector, factory in DETECTORS.items()
        for name, check in check_detector(factory)
        if not (detector in OF_WHAT_LASTS and name.startswith("a_gross_anomaly"))
    ],
)
def test_detector_passes(check: Callable[[], None]) -> None:
    check()
