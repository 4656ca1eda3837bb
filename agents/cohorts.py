"""Puts windows together and judges them: cohorts.parts ─▶ cohorts, anomalies with their causes, spending.

Two judges look at each window: how well are those served who watch, and are those there who should be. A
third watches for the windows that do not come, because everybody has fallen silent.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import structlog

from agents.ledger import Ledger
from agents.ports import App, Batch, Publish
from config import Settings
from models.anomaly.state import SnapshotError
from models.audience import AudienceJudge
from models.blackout import Blackout
from models.qoe import QoeJudge
from models.window_merge import Fate, MergedWindow, WindowMerge
from topics import ANOMALIES, COHORT_PARTS, COHORTS, ContractError
from topics.emission import Emission

NAME = "cohorts"

log = structlog.get_logger(__name__)


def attach(app: App, settings: Settings, publish: Publish) -> None:
    """Run the judge over `cohorts.parts`, which has a single partition: causes show only in the whole."""
    del publish  # a lane publishes what its processor returns
    app.lane(NAME, COHORT_PARTS, lambda _partition, _partitions: WindowJudge(settings))


class _State(msgspec.Struct, array_like=True):
    merge: bytes
    judge: bytes
    audience: bytes = b""
    blackout: bytes = b""


_STATES = msgspec.msgpack.Decoder(_State)


class WindowJudge:
    """Implements `agents.ports.LaneProcessor`."""

    def __init__(self, settings: Settings) -> None:
        # Told each `idle_after_s` while it is so: a word that was not told again is from a worker that died.
        self._merge = WindowMerge(idle_holds_ms=int(3_000 * settings.engine.idle_after_s))
        self._settings = settings
        self._begin()

    def _begin(self) -> None:
        settings, shares = self._settings, self._settings.budget.shares
        self._judge = QoeJudge(settings)
        self._audience = AudienceJudge(settings)
        self._blackout = Blackout(settings.audience)
        self._ledgers = (
            Ledger(NAME, self._judge.budget, shares.cohorts, settings.budget),
            Ledger("audience", self._audience.budget, shares.absence, settings.budget),
        )

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
                emissions += self._judged(window)
            dark = self._blackout.watch(self._merge.now_ms, all_idle=self._merge.all_idle)
            if dark:
                self._audience.budget.record(episodes=1, pages=1, static_pages=1)
                emissions += [Emission(ANOMALIES, anomaly) for anomaly in dark]
        batch.tally(processed=taken, late=late)
        return emissions

    def _judged(self, window: MergedWindow) -> Iterator[Emission]:
        before_ms = self._judge.budget.newest_ms, self._audience.budget.newest_ms
        cohorts, anomalies = self._judge.judge(window)
        anomalies += self._audience.judge(window)
        anomalies += self._blackout.see(window)
        yield from (Emission(ANOMALIES, anomaly) for anomaly in anomalies)
        yield from (Emission(COHORTS, cohort) for cohort in cohorts)
        for ledger, time_ms in zip(self._ledgers, before_ms, strict=True):
            yield from ledger.told(time_ms)

    def idle(self) -> list[Emission]:
        """Say nothing: windows wait for their parts."""
        return []

    def awake(self) -> list[Emission]:
        """Say nothing."""
        return []

    def snapshot(self) -> bytes:
        """Return the open windows, the baselines and the episodes."""
        return msgspec.msgpack.encode(
            _State(
                self._merge.snapshot(),
                self._judge.snapshot(),
                self._audience.snapshot(),
                self._blackout.snapshot(),
            )
        )

    def restore(self, data: bytes) -> None:
        """Go on from `snapshot`; where it was made by other figures, all baselines are learned anew."""
        state = _STATES.decode(data)
        self._merge.restore(state.merge)
        self._begin()
        try:
            self._judge.restore(state.judge)
            if state.audience:
                self._audience.restore(state.audience)
            if state.blackout:
                self._blackout.restore(state.blackout)
        except (SnapshotError, msgspec.MsgspecError) as error:
            log.warning("learning all cohorts anew", reason=str(error))
            self._begin()
