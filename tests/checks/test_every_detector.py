"""Every detector passes every check."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from config import load
from models.anomaly import build
from models.anomaly.bank import BankDetector, Limits
from models.anomaly.thresholds import StaticThreshold
from tests.checks.detector_checks import Factory, check_detector

SETTINGS = load({}).settings
DETECTION, ENSEMBLE = SETTINGS.detection, SETTINGS.ensemble

DETECTORS: dict[str, Factory] = {
    "StaticThreshold": lambda: StaticThreshold(warn=200.0, critical=500.0),
    "ZScore": lambda: build.zscore(DETECTION),
    "InterquartileRange": lambda: build.interquartile_range(DETECTION),
    "ForecastError": lambda: build.forecast_error(DETECTION),
    "HalfSpaceTrees": lambda: build.half_space_trees(DETECTION, seed=1),
    "PerSeriesEnsemble": lambda: build.ensemble(ENSEMBLE, DETECTION),
    "BankDetector": lambda: BankDetector(build.bank_figures(DETECTION), Limits()),
    "BankDetector with limits": lambda: BankDetector(
        build.bank_figures(DETECTION), Limits(worse=1, warn=200.0, critical=500.0, noise=0.5)
    ),
}


@pytest.mark.parametrize(
    "check",
    [
        pytest.param(check, id=f"{detector}-{name}")
        for detector, factory in DETECTORS.items()
        for name, check in check_detector(factory)
    ],
)
def test_detector_passes(check: Callable[[], None]) -> None:
    check()
