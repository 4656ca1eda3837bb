"""Tells how popular titles are: viewing ─▶ popularity.

Viewers are spread over the partitions of `viewing`, so each partition tells its own sums; who wants a title's
popularity adds those of all partitions up, and has it of all viewers whichever worker it asks.
"""

from __future__ import annotations

import msgspec

from agents.ports import App, Batch, Publish
from config import Settings
from config.sections import PreferenceSettings
from models.popularity import PopularityTallies
from topics import POPULARITY, VIEWING, ContractError
from topics.emission import Emission
from topics.fields import derive_id
from topics.popularity import TitlePopularity

NAME = "popularity"


def attach(app: App, settings: Settings, publish: Publish) -> None:
    """Run a teller over each partition of `viewing`."""
    del publish  # a lane publishes what its processor returns
    app.lane(NAME, VIEWING, lambda partition, _partitions: PopularityTeller(partition, settings.preferences))


class _State(msgspec.Struct):
    tallies: bytes
    newest_ms: int
    due_ms: int


_STATES = msgspec.msgpack.Decoder(_State)


class PopularityTeller:
    """Implements `agents.ports.LaneProcessor` for one partition of `viewing`."""

    def __init__(self, partition: int, figures: PreferenceSettings) -> None:
        self._partition = partition
        self._interval_ms = int(figures.popularity_interval_s * 1000)
        self._tallies = PopularityTallies(figures.remembered_actions)
        self._newest_ms = 0
        self._due_ms = 0

    def process(self, batch: Batch) -> list[Emission]:
        """Return the titles that changed, each time event time passes the end of an interval."""
        emissions: list[Emission] = []
        taken = 0
        for index, value in enumerate(batch.values):
            try:
                action = VIEWING.decode(value)
            except ContractError as error:
                batch.refuse(index, error.reason)
                continue
            self._tallies.learn_one(action)
            # An action dated in the future must not hold word back until its time has come.
            self._newest_ms = max(self._newest_ms, min(action.time_ms, batch.times_ms[index]))
            if self._newest_ms >= self._due_ms:
                emissions += self._tell()
            taken += 1
        batch.tally(processed=taken)
        return emissions

    def idle(self) -> list[Emission]:
        """Return the titles that changed since they were told of."""
        return self._tell()

    def awake(self) -> list[Emission]:
        """Say nothing."""
        return []

    def snapshot(self) -> bytes:
        """Return all sums."""
        return msgspec.msgpack.encode(_State(self._tallies.snapshot(), self._newest_ms, self._due_ms))

    def restore(self, data: bytes) -> None:
        """Go on with the sums of `snapshot`."""
        state = _STATES.decode(data)
        self._tallies.restore(state.tallies)
        self._newest_ms = state.newest_ms
        self._due_ms = state.due_ms

    def _tell(self) -> list[Emission]:
        self._due_ms = (self._newest_ms // self._interval_ms + 1) * self._interval_ms
        return [
            Emission(
                POPULARITY,
                TitlePopularity(
                    id=derive_id(NAME, title, self._partition, tally.ratings, tally.plays),
                    time_ms=self._newest_ms,
                    title=title,
                    source=self._partition,
                    ratings=tally.ratings,
                    rating_sum=tally.rating_sum,
                    plays=tally.plays,
                ),
            )
            for title, tally in self._tallies.take_changed()
        ]
