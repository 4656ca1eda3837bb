"""The detectors whose bounds can be tuned, and which settings hold them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from config import Settings
from models.anomaly import build
from models.anomaly.bank import BankDetector, Limits
from models.anomaly.base import Detector


@dataclass(frozen=True, slots=True)
class Tunable:
    """A detector, and its two bounds.

    Args:
        make: a fresh detector of one series.
        section: of the settings that holds the bounds.
        high: the name of the bound that a score of 0.5 stands for.
        critical: ... and of 0.75.
    """

    make: Callable[[Settings], Detector]
    section: str
    high: str
    critical: str

    def bounds(self, settings: Settings) -> tuple[float, float]:
        """Return both bounds as set."""
        section = getattr(settings, self.section)
        return float(getattr(section, self.high)), float(getattr(section, self.critical))

    def with_bounds(self, settings: Settings, high: float, critical: float) -> Settings:
        """Return the settings with other bounds."""
        section = getattr(settings, self.section)
        changed = section.model_copy(update={self.high: high, self.critical: critical})
        return settings.model_copy(update={self.section: changed})


TUNABLES: Mapping[str, Tunable] = {
    "bank": Tunable(
        lambda settings: BankDetector(build.bank_figures(settings.detection), Limits()),
        "detection",
        "z_high",
        "z_critical",
    ),
    "quartiles": Tunable(
        lambda settings: build.interquartile_range(settings.detection),
        "detection",
        "iqr_fence",
        "iqr_far_fence",
    ),
    "forecast": Tunable(
        lambda settings: build.forecast_error(settings.detection),
        "detection",
        "forecast_high",
        "forecast_critical",
    ),
    "forest": Tunable(
        lambda settings: build.half_space_trees(settings.detection, seed=1),
        "detection",
        "forest_high",
        "forest_critical",
    ),
    "drift": Tunable(
        lambda settings: build.page_hinkley(settings.detectors, settings.detection),
        "detectors",
        "drift_high",
        "drift_critical",
    ),
    "adwin": Tunable(
        lambda settings: build.adwin(settings.detectors), "detectors", "adwin_high", "adwin_critical"
    ),
    "change-point": Tunable(
        lambda settings: build.bayesian_change_point(settings.detectors, settings.detection),
        "detectors",
        "change_high_nats",
        "change_critical_nats",
    ),
    "ensemble": Tunable(
        lambda settings: build.ensemble(settings.ensemble, settings.detection),
        "ensemble",
        "high_nats",
        "critical_nats",
    ),
}
"""By name. The z-score of a window has the bank's bounds, so it is tuned with it."""
