"""Puts windows together and judges them: cohorts.parts ─▶ cohorts, anomalies with their causes."""

from __future__ import annotations

import msgspec

from agents.ports import App, Batch, Publish
from config import Settings
from models.qoe import QoeJudge
from models.window_merge import Fate, WindowMerge
from topics import ANOMALIES, COHORT_PARTS, COHORTS, ContractError
from topics.emission import Emission

NAME = "cohorts"


def attach(app: App, settings: Settings, publish: Publish) -> None:
    """Run the judge over `cohorts.parts`, which has a single partition: causes show only in the whole."""
    del publish  # a lane publishes what its processor returns
    app.lane(NAME, COHORT_PARTS, lambda _partition, _partitions: WindowJudge(settings))


class _State(msgspec.Struct, array_like=True):
    merge: bytes
    judge: bytes


class WindowJudge:
    """Implements `agents.ports.LaneProcessor`."""

    def __init__(self, settings: Settings) -> None:
        # Told each `idle_after_s` while it is so: a word that was not told again is from a worker that died.
        self._merge = WindowMerge(idle_holds_ms=int(3_000 * settings.engine.idle_after_s))
        self._judge = QoeJudge(settings.qoe, settings.localisation)

    def process(self, batch: Batch) -> list[Emission]:
        """Return the cohorts and anomalies of the windows that the parts in `batch` made whole."""
        emissions: list[Emission] = []
        taken = late = 0
        for index, value in enumerate(batch.values):
            try:
                part = COHORT_PARTS.decode(value)
            except ContractError as error:
                batch.refuse(index, error.reason)
                continue
            fate = self._merge.add(part, batch.times_ms[index])
            taken += fate is not Fate.LATE
            if fate is Fate.LATE:
                late += 1
                batch.refuse(index, f"late: the window at {part.window_start_ms} ms is closed")
            for window in self._merge.close():
                cohorts, anomalies = self._judge.judge(window)
                emissions += [Emission(ANOMALIES, anomaly) for anomaly in anomalies]
                emissions += [Emission(COHORTS, cohort) for cohort in cohorts]
        batch.tally(processed=taken, late=late)
        return emissions

    def idle(self) -> list[Emission]:
        """Say nothing: windows wait for their parts."""
        return []

    def awake(self) -> list[Emission]:
        """Say nothing."""
        return []

    def snapshot(self) -> bytes:
        """Return the open windows, the baselines and the episodes."""
        return msgspec.msgpack.encode(_State(self._merge.snapshot(), self._judge.snapshot()))

    def restore(self, data: bytes) -> None:
        """Go on from `snapshot`."""
        state = msgspec.msgpack.decode(data, type=_State)
        self._merge.restore(state.merge)
        self._judge.restore(state.judge)
