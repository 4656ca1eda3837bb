"""Enters the pages of other tools' alerts in the ledger of the budget: anomalies ─▶ spending."""

from __future__ import annotations

from agents.ports import App, Batch, Publish
from config import Settings
from models.budget.foreign import ForeignRules
from topics import ANOMALIES, SPENDING, ContractError
from topics.emission import Emission

NAME = "foreign"


def attach(app: App, settings: Settings, publish: Publish) -> None:
    """Count the alerts in each partition of `anomalies`."""
    del publish  # a lane publishes what its processor returns
    app.lane(NAME, ANOMALIES, lambda partition, _partitions: AlertCounter(partition, settings))


class AlertCounter:
    """Implements `agents.ports.LaneProcessor` for one partition of `anomalies`."""

    def __init__(self, partition: int, settings: Settings) -> None:
        self._rules = ForeignRules(partition, settings.budget)

    def process(self, batch: Batch) -> list[Emission]:
        """Return the ledgers of the rules whose alerts are in `batch`."""
        emissions: list[Emission] = []
        taken = 0
        for index, value in enumerate(batch.values):
            try:
                anomaly = ANOMALIES.decode(value)
            except ContractError as error:
                batch.refuse(index, error.reason)
                continue
            taken += 1
            spending = self._rules.take(anomaly)
            if spending is not None:
                emissions.append(Emission(SPENDING, spending))
        batch.tally(processed=taken)
        return emissions

    def idle(self) -> list[Emission]:
        """Say nothing."""
        return []

    def awake(self) -> list[Emission]:
        """Say nothing."""
        return []

    def snapshot(self) -> bytes:
        """Return what each rule has spent."""
        return self._rules.snapshot()

    def restore(self, data: bytes) -> None:
        """Go on from `snapshot`."""
        self._rules.restore(data)
