"""What is known of a metric by its name: what its trouble is, which way is worse, its static bounds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final

from models.anomaly.bank import Limits
from models.anomaly.shapes import Shape
from topics.anomalies import AnomalyKind

_PER_UNIT: Final = {"ratio": 1.0, "percent": 100.0, "s": 1.0, "ms": 1e3, "us": 1e6}
"""How many of a unit make one of its family's base unit."""

_FAMILY: Final = {"ratio": "share", "percent": "share", "s": "time", "ms": "time", "us": "time"}

_SUFFIXES: Final = {
    "_ratio": "ratio",
    "_percent": "percent",
    "_pct": "percent",
    "_us": "us",
    "_ms": "ms",
    "_s": "s",
    "_seconds": "s",
}


@dataclass(frozen=True, slots=True)
class MetricRule:
    """What holds for the metrics whose name fits a pattern.

    Args:
        pattern: Shell pattern of metric names, in lower case.
        kind: What an anomaly of such a metric is.
        limits: Which way is worse, bounds and noise, in `unit`.
        unit: ratio, percent, s, ms, us or count.
        shape: How its samples come about; unknown where the data are to tell.
    """

    pattern: str
    kind: AnomalyKind
    limits: Limits
    unit: str
    shape: Shape = Shape.UNKNOWN


class WatchedMetrics:
    """The table of rules; the first whose pattern fits a metric's name decides.

    A name that ends in a unit of the rule's family (`_ms`, `_seconds`, `_percent`, `_ratio`, ...) is measured
    in that unit, any other in the rule's own; limits are converted.

    Example:
        >>> rule = MetricRule("*cpu*", AnomalyKind.RESOURCE_EXHAUSTION,
        ...                   Limits(worse=1, warn=80.0, critical=95.0, noise=0.5), unit="percent")
        >>> watched = WatchedMetrics([rule])
        >>> watched.kind_of("cpu_utilisation").value
        'resource_exhaustion'
        >>> watched.limits_of("cpu_utilisation").warn, watched.limits_of("cpu_ratio").warn
        (80.0, 0.8)
        >>> watched.kind_of("queue_depth") is None
        True
    """

    def __init__(self, rules: Sequence[MetricRule]) -> None:
        self._rules = tuple(rules)

    def kind_of(self, metric: str) -> AnomalyKind | None:
        """Return what an anomaly of the metric is; None for one that no rule watches."""
        rule = self._rule_of(metric)
        return rule.kind if rule is not None else None

    def shape_of(self, metric: str) -> Shape:
        """Return how the metric's samples come about; unknown where no rule says."""
        rule = self._rule_of(metric)
        return rule.shape if rule is not None else Shape.UNKNOWN

    def limits_of(self, metric: str) -> Limits:
        """Return the metric's limits in its own unit; none for one that no rule watches."""
        rule = self._rule_of(metric)
        if rule is None:
            return Limits()
        factor = _factor(rule.unit, _unit_of(metric))
        limits = rule.limits
        return Limits(limits.worse, limits.warn * factor, limits.critical * factor, limits.noise * factor)

    def _rule_of(self, metric: str) -> MetricRule | None:
        name = metric.lower()
        return next((rule for rule in self._rules if fnmatchcase(name, rule.pattern)), None)


def _unit_of(metric: str) -> str | None:
    name = metric.lower()
    return next((unit for suffix, unit in _SUFFIXES.items() if name.endswith(suffix)), None)


def _factor(unit: str, own: str | None) -> float:
    if own is None or _FAMILY.get(unit) != _FAMILY[own]:
        return 1.0
    return _PER_UNIT[own] / _PER_UNIT[unit]
