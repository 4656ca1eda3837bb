"""What viewers do once they take part in an experiment.

A viewer is exposed by the first action after an active experiment admits them; that action counts already.
From then on each metric of the experiment has a value per viewer: a whole number that only grows. A viewer
stays in the variant of the exposure, whatever later becomes of the shares, and never takes part in two
experiments of one layer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec

from models.assignment import Assigner
from topics.experiments import Experiment, ExperimentPart, ExperimentStatus, MetricChange
from topics.fields import derive_id
from topics.viewing import Action, ViewerAction


def _count(kind: Action) -> Callable[[ViewerAction], int]:
    return lambda action: int(action.action is kind)


METRICS: Mapping[str, Callable[[ViewerAction], int]] = {
    "plays": _count(Action.PLAY),
    "completions": _count(Action.COMPLETE),
    "watched_ms": lambda action: action.watched_ms or 0,
    "likes": _count(Action.LIKE),
    "ratings": _count(Action.RATE),
    "shares": _count(Action.SHARE),
    "searches": _count(Action.SEARCH),
    "list_additions": _count(Action.ADD_TO_LIST),
}
"""What one action adds to a viewer's value of each metric that `viewing` can tell of."""


class Exposure(msgspec.Struct):
    """One viewer's part in one experiment."""

    variant: str
    values: dict[str, int]


class Participation(msgspec.Struct):
    """All experiments that one viewer takes part in."""

    exposures: dict[str, Exposure] = {}
    taken: int = 0
    """Actions taken in."""


class Roster:
    """The experiments there are, prepared for assigning viewers.

    Args:
        experiments: of any status; only active ones admit viewers and count what they do.
    """

    def __init__(self, experiments: Mapping[str, Experiment]) -> None:
        self._experiments = experiments
        self._assigner = Assigner(experiments.values())

    def troubles(self) -> list[str]:
        """Return what is wrong with the active experiments, in sentences."""
        overlaps = [
            f"experiments {each.first} and {each.second} of layer {each.layer} both want {each.share:.1%} of"
            f" the viewers: {each.first} has them; change layer_start of one"
            for each in self._assigner.conflicts()
        ]
        unknown = [
            f"experiment {each.experiment}: metric {metric} is not measured; there are {', '.join(METRICS)}"
            for each in self._experiments.values()
            if each.status is ExperimentStatus.ACTIVE
            for metric in each.metrics
            if metric not in METRICS
        ]
        return [*overlaps, *unknown]

    def take(
        self, before: Participation | None, action: ViewerAction
    ) -> tuple[Participation, list[ExperimentPart]]:
        """Return the viewer's participation after `action`, and what it changed in which experiment."""
        participation = before or Participation()
        exposures = self._expose(self._running(participation.exposures), action.viewer)
        taken = participation.taken + 1
        parts = []
        after = {}
        for name, exposure in exposures.items():
            experiment = self._experiments[name]
            after[name], changes = _apply(exposure, experiment, action)
            if changes:
                parts.append(
                    ExperimentPart(
                        id=derive_id("experiment part", name, action.viewer, taken),
                        time_ms=action.time_ms,
                        experiment=name,
                        variant=exposure.variant,
                        control=experiment.control,
                        minimum_sample=experiment.minimum_sample,
                        changes=changes,
                    )
                )
        return Participation(after, taken), parts

    def _running(self, exposures: Mapping[str, Exposure]) -> dict[str, Exposure]:
        """Leave out experiments that are over; a paused one may go on."""
        return {
            name: exposure
            for name, exposure in exposures.items()
            if (experiment := self._experiments.get(name)) is not None
            and experiment.status is not ExperimentStatus.COMPLETED
        }

    def _expose(self, exposures: dict[str, Exposure], viewer: str) -> dict[str, Exposure]:
        taken_layers = {self._experiments[name].layer for name in exposures} - {""}
        for name, variant in self._assigner.assign(viewer).items():
            if name not in exposures and self._experiments[name].layer not in taken_layers:
                exposures[name] = Exposure(variant, {})
        return exposures


def _apply(
    exposure: Exposure, experiment: Experiment, action: ViewerAction
) -> tuple[Exposure, list[MetricChange]]:
    if experiment.status is not ExperimentStatus.ACTIVE:
        return exposure, []
    values = dict(exposure.values)
    changes = []
    for metric in experiment.metrics:
        measure = METRICS.get(metric)
        if measure is None:
            continue
        before = values.get(metric)
        after = (before or 0) + measure(action)
        if after != before:
            values[metric] = after
            changes.append(MetricChange(metric=metric, before=before, after=after))
    return Exposure(exposure.variant, values), changes
