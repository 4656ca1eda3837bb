"""Runs experiments: viewing + experiments ─▶ experiments.parts ─▶ experiment.results.

Viewers are spread over the partitions of `viewing`, so each action tells only what it changes; the parts are
keyed by experiment, and whoever owns the experiment's key sums them up. The sums do not depend on the order
of the parts, so neither do they on how many workers there are.
"""

from __future__ import annotations

import msgspec
import structlog

from agents.keyed import keep
from agents.ports import App, Batch, Publish, View
from config import Settings
from config.sections import ExperimentSettings
from models.experiment_stats import ExperimentStats
from models.exposure import Participation, Roster
from topics import EXPERIMENT_PARTS, EXPERIMENT_RESULTS, EXPERIMENTS, VIEWING, ContractError
from topics.emission import Emission
from topics.experiments import Experiment
from topics.viewing import ViewerAction

NAME = "experiments"
RESULTS_NAME = "experiment-results"

log = structlog.get_logger(__name__)


def attach(app: App, settings: Settings, publish: Publish) -> None:
    """Expose viewers to the active experiments and tell what their actions change."""
    observer = Observer(app.view(EXPERIMENTS))
    keep(app, settings, publish, name=NAME, spec=VIEWING, state=Participation, step=observer.step)


def attach_results(app: App, settings: Settings, publish: Publish) -> None:
    """Sum the parts of each experiment up and tell how it stands."""
    del publish  # a lane publishes what its processor returns
    app.lane(RESULTS_NAME, EXPERIMENT_PARTS, lambda _partition, _partitions: Accountant(settings.experiments))


class Observer:
    """Watches viewers under the experiments that stand in a view."""

    def __init__(self, experiments: View[Experiment]) -> None:
        self._experiments = experiments
        self._known: list[Experiment] = []
        self._roster = Roster({})

    def step(
        self, participation: Participation | None, action: ViewerAction
    ) -> tuple[Participation, list[Emission]]:
        """Return the viewer's participation after `action`, and what it changed."""
        self._follow()
        after, parts = self._roster.take(participation, action)
        return after, [Emission(EXPERIMENT_PARTS, part) for part in parts]

    def _follow(self) -> None:
        # Records are immutable and the same objects until replaced: comparing the lists compares addresses.
        known = list(self._experiments.values())
        if known == self._known:
            return
        self._known = known
        self._roster = Roster({each.experiment: each for each in known})
        for trouble in self._roster.troubles():
            log.warning("experiment in trouble", reason=trouble)


class Accountant:
    """Implements `agents.ports.LaneProcessor` for one partition of `experiments.parts`."""

    def __init__(self, figures: ExperimentSettings) -> None:
        self._stats = ExperimentStats(
            confidence=figures.confidence,
            warmup=figures.warmup_viewers,
            interval_ms=int(figures.result_interval_s * 1000),
            remembered_parts=figures.remembered_parts,
        )

    def process(self, batch: Batch) -> list[Emission]:
        """Return the results that became due with the parts of `batch`."""
        results = []
        taken = 0
        for index, value in enumerate(batch.values):
            try:
                part = EXPERIMENT_PARTS.decode(value)
            except ContractError as error:
                batch.refuse(index, error.reason)
                continue
            # An action dated in the future must not hold results back until its time has come.
            time_ms = min(part.time_ms, batch.times_ms[index])
            results += self._stats.learn_one(msgspec.structs.replace(part, time_ms=time_ms))
            taken += 1
        batch.tally(processed=taken)
        return [Emission(EXPERIMENT_RESULTS, result) for result in results]

    def idle(self) -> list[Emission]:
        """Return how the experiments stand that changed since they were told of."""
        return [Emission(EXPERIMENT_RESULTS, result) for result in self._stats.flush()]

    def awake(self) -> list[Emission]:
        """Say nothing."""
        return []

    def snapshot(self) -> bytes:
        """Return all sums."""
        return self._stats.snapshot()

    def restore(self, data: bytes) -> None:
        """Go on with the sums of `snapshot`."""
        self._stats.restore(data)
