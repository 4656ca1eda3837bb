"""Running figures of experiments: count, mean and variance per metric and variant, and what sets them apart.

A viewer's value of a metric changes while the viewer goes on, so a change takes the old value out and puts
the new one in. Values are whole numbers, and so are their sums and sums of squares: Python's integers hold
them exactly, whatever their size. Replacing and adding up therefore leave no rounding behind, however often
they are done and in whatever order, so that any number of workers come to the same figures to the last bit.
Welford's recurrence would drift with each value it takes out.
"""

from __future__ import annotations

import msgspec

from models.confidence_sequence import Moments, NormalMixture
from models.recent_ids import RecentIds
from topics.experiments import ExperimentPart, ExperimentResult, VariantResult
from topics.fields import derive_id


class Sums(msgspec.Struct):
    """Exact sums over viewers' values of one metric in one variant.

    Example:
        >>> sums = Sums()
        >>> for value in (1, 2, 6):
        ...     sums.replace(None, value)
        >>> sums.replace(6, 9)
        >>> sums.moments
        Moments(size=3, mean=4.0, variance=19.0)
    """

    size: int = 0
    total: int = 0
    squares: int = 0

    def replace(self, before: int | None, after: int) -> None:
        """Put one viewer's value `after` in the place of `before`, or of none."""
        if before is None:
            self.size += 1
            before = 0
        self.total += after - before
        self.squares += after * after - before * before

    @property
    def moments(self) -> Moments:
        """Size, mean and unbiased variance, each rounded once; zeros where there is nothing to tell."""
        if self.size == 0:
            return Moments(0, 0.0, 0.0)
        spread = self.size * self.squares - self.total * self.total
        pairs = self.size * (self.size - 1)
        return Moments(self.size, self.total / self.size, spread / pairs if pairs else 0.0)


class _Standing(msgspec.Struct):
    """One experiment as it stands."""

    sums: dict[str, dict[str, Sums]] = {}
    """By metric and variant."""
    control: str = ""
    minimum_sample: int = 0
    newest_ms: int = 0
    due_ms: int = 0
    last_part: str = ""
    told: bool = True
    """Whether a result holds all that was learned."""


class _State(msgspec.Struct):
    standings: dict[str, _Standing]
    recent: list[str]


_STATES = msgspec.json.Decoder(_State)


class ExperimentStats:
    """Folds parts of experiments into results.

    Args:
        confidence: that an interval holds at every moment.
        warmup: viewers of each variant before there is an interval.
        interval_ms: event time between two results of an experiment, at least.
        remembered_parts: parts whose ids are remembered, so that one told twice counts once.
    """

    def __init__(self, *, confidence: float, warmup: int, interval_ms: int, remembered_parts: int) -> None:
        self._confidence = confidence
        self._warmup = warmup
        self._interval_ms = interval_ms
        self._remembered_parts = remembered_parts
        self._standings: dict[str, _Standing] = {}
        self._recent = RecentIds(remembered_parts)

    def learn_one(self, part: ExperimentPart) -> list[ExperimentResult]:
        """Take `part` in and return the results that have become due, one a metric; a repeat does nothing."""
        if part.id and not self._recent.add(part.id):
            return []
        standing = self._standings.setdefault(part.experiment, _Standing())
        for change in part.changes:
            variants = standing.sums.setdefault(change.metric, {})
            variants.setdefault(part.variant, Sums()).replace(change.before, change.after)
        standing.control = part.control
        standing.minimum_sample = part.minimum_sample
        standing.newest_ms = max(standing.newest_ms, part.time_ms)
        standing.last_part = part.id
        standing.told = False
        if standing.newest_ms < standing.due_ms:
            return []
        return self._tell(part.experiment)

    def flush(self) -> list[ExperimentResult]:
        """Return the results of all experiments that changed since they were told."""
        return [
            result
            for name, standing in self._standings.items()
            if not standing.told
            for result in self._tell(name)
        ]

    def results(self, experiment: str) -> list[ExperimentResult]:
        """Return the experiment as it stands, a result a metric; empty for one never heard of."""
        standing = self._standings.get(experiment)
        if standing is None:
            return []
        return [
            ExperimentResult(
                id=derive_id("experiment result", experiment, metric, standing.last_part),
                time_ms=standing.newest_ms,
                experiment=experiment,
                metric=metric,
                confidence=self._confidence,
                variants=self._variants(standing, standing.sums[metric]),
            )
            for metric in sorted(standing.sums)
        ]

    def snapshot(self) -> bytes:
        """Return all that was learned; as JSON, whose whole numbers have no bound."""
        return msgspec.json.encode(_State(self._standings, list(self._recent)))

    def restore(self, data: bytes) -> None:
        """Put back what `snapshot` returned."""
        state = _STATES.decode(data)
        self._standings = state.standings
        self._recent = RecentIds(self._remembered_parts, state.recent)

    def _tell(self, experiment: str) -> list[ExperimentResult]:
        standing = self._standings[experiment]
        standing.due_ms = (standing.newest_ms // self._interval_ms + 1) * self._interval_ms
        standing.told = True
        return self.results(experiment)

    def _variants(self, standing: _Standing, sums: dict[str, Sums]) -> list[VariantResult]:
        control = sums[standing.control].moments if standing.control in sums else Moments(0, 0.0, 0.0)
        mixture = NormalMixture(
            alpha=1 - self._confidence, tightest_at=max(standing.minimum_sample / 2, 1), warmup=self._warmup
        )
        # The control first, then by name: the order of arrival would differ from worker to worker.
        names = sorted(sums, key=lambda name: (name != standing.control, name))
        return [
            _against(control, name, sums[name].moments, standing, mixture)
            if name != standing.control
            else VariantResult(variant=name, count=control.size, mean=control.mean, variance=control.variance)
            for name in names
        ]


def _against(
    control: Moments, name: str, own: Moments, standing: _Standing, mixture: NormalMixture
) -> VariantResult:
    interval = mixture.of_difference(control, own)
    enough = control.size + own.size >= standing.minimum_sample
    return VariantResult(
        variant=name,
        count=own.size,
        mean=own.mean,
        variance=own.variance,
        lift=own.mean - control.mean if control.size else None,
        lift_low=interval.low if interval else None,
        lift_high=interval.high if interval else None,
        p_value=interval.p_value if interval else None,
        significant=bool(interval and enough and not interval.low <= 0 <= interval.high),
    )
