"""Makes playback sessions of CMCD reports: cmcd ─▶ playback.

Reports are keyed by session, so that any gateway may take any report of a player, and what is known of a
session outlives both gateway and worker.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from agents import metrics
from agents.ports import App, Batch, Publish
from config import Settings
from models.cmcd.sessions import Sessions
from topics import CMCD, PLAYBACK, ContractError
from topics.cmcd import CmcdRecord, CmcdRecords
from topics.emission import Emission

NAME = "sessions"

_PACKED = msgspec.json.Decoder(CmcdRecords)


def attach(app: App, settings: Settings, publish: Publish) -> None:
    """Run the sessions of each partition of `cmcd`."""
    del publish  # a lane publishes what its processor returns
    app.lane(NAME, CMCD, lambda *_: SessionMaker(settings))


class SessionMaker:
    """Implements `agents.ports.LaneProcessor` for one partition of `cmcd`."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings.sessions
        self._max_future_ms = settings.engine.max_future_ms
        self._sessions = Sessions(settings.sessions)

    def process(self, batch: Batch) -> list[Emission]:
        """Return the beats that the reports of `batch` make."""
        emissions: list[Emission] = []
        taken = 0
        for index, inside, record in self._decode(batch):
            if record.time_ms > batch.times_ms[index] + self._max_future_ms:
                batch.refuse(index, f"time_ms: {record.time_ms} is from the future", inside)
                continue
            taken += 1
            emissions += [Emission(PLAYBACK, beat) for beat in self._sessions.take(record)]
        batch.tally(processed=taken)
        for what, number in self._sessions.counts.items():
            metrics.CMCD_SESSIONS.labels(what).inc(number)
        self._sessions.counts.clear()
        return emissions

    def idle(self) -> list[Emission]:
        """Return the beats of reports that wait for others: in this silence those will not come."""
        return [Emission(PLAYBACK, beat) for beat in self._sessions.wait_no_longer()]

    def awake(self) -> list[Emission]:
        """Return nothing."""
        return []

    def snapshot(self) -> bytes:
        """Return the sessions."""
        return self._sessions.snapshot()

    def restore(self, data: bytes) -> None:
        """Go on with the sessions of `snapshot`."""
        self._sessions = Sessions(self._settings)
        self._sessions.restore(data)

    def _decode(self, batch: Batch) -> Iterator[tuple[int, int | None, CmcdRecord]]:
        for index, (value, packed) in enumerate(zip(batch.values, batch.packed, strict=True)):
            try:
                found = _PACKED.decode(value or b"").records if packed else [CMCD.decode(value)]
            except ContractError as error:
                batch.refuse(index, error.reason)
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
                batch.refuse(index, str(error))
            else:
                yield from ((index, inside if packed else None, each) for inside, each in enumerate(found))
