"""Sums playback beats into event-time windows: playback ─▶ cohorts.parts.

Beats are keyed by session, so every partition sees a part of every cohort; the parts of a window are put
together by `agents.cohorts`.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray
from xxhash import xxh3_64_intdigest

from agents import metrics
from agents.ports import App, Batch, Publish
from config import Settings
from config.sections import QoeSettings
from models.cohort_windows import NO_BUCKET, BeatColumns, CohortWindows, WindowSums
from models.log_buckets import LogBuckets, duration_buckets
from topics import COHORT_PARTS, PLAYBACK, ContractError
from topics.cohorts import DURATIONS, MEASURES, CohortParts, Sketch
from topics.emission import Emission
from topics.fields import derive_id
from topics.playback import Beat, Beats, PlayerState

NAME = "playback"

_MANY = msgspec.json.Decoder(list[Beat])
_PACKED = msgspec.json.Decoder(Beats)
_LEFT = (PlayerState.QUIT, PlayerState.ENDED)


def attach(app: App, settings: Settings, publish: Publish) -> None:
    """Run a window summer over each partition of `playback`."""
    del publish  # a lane publishes what its processor returns
    app.lane(
        NAME,
        PLAYBACK,
        lambda partition, partitions: BeatSummer(
            partition, partitions, settings.qoe, settings.engine.max_future_ms
        ),
    )


class BeatSummer:
    """Implements `agents.ports.LaneProcessor` for one partition of `playback`."""

    def __init__(self, partition: int, partitions: int, qoe: QoeSettings, max_future_ms: int) -> None:
        self._partition = partition
        self._partitions = partitions
        self._qoe = qoe
        self._dimensions = ((qoe.scope,) if qoe.scope else ()) + qoe.dimensions
        self._max_future_ms = max_future_ms
        self._window_ms = qoe.window_ms
        self._slide_ms = qoe.slide_ms
        self._lateness_ms = int(qoe.lateness_s * 1000)
        self._buckets = duration_buckets(qoe)
        self._windows = CohortWindows(
            window_ms=self._window_ms,
            slide_ms=self._slide_ms,
            lateness_ms=self._lateness_ms,
            max_cells=qoe.max_leaf_cells,
            dimensions=len(self._dimensions),
        )

    def process(self, batch: Batch) -> list[Emission]:
        """Return the parts of the windows that the beats of `batch` closed."""
        beats, places = self._decode(batch)
        before = self._windows.watermark_ms
        if beats:
            late = self._windows.add_many(_columns(beats, self._dimensions, self._qoe, self._buckets))
            for i in np.flatnonzero(late).tolist():
                record, inside = places[i]
                batch.refuse(record, f"late: {beats[i].time_ms} ms is before the watermark", inside)
            batch.tally(processed=len(beats) - int(late.sum()), late=int(late.sum()))
        closed = self._windows.close()
        boundary = self._boundary()
        parts = []
        for window in closed:
            end_ms = window.start_ms + self._window_ms
            origin_ms = next(
                batch.times_ms[record]
                for beat, (record, _) in zip(beats, places, strict=True)
                if beat.time_ms - self._lateness_ms >= end_ms
            )
            # Only the last part may tell the whole watermark: told earlier, it would make the next part late.
            watermark_ms = boundary if window is closed[-1] else end_ms
            parts.append(self._part(window, origin_ms, watermark_ms))
        if not closed and before // self._slide_ms * self._slide_ms < boundary:
            parts.append(self._silence(boundary, idle=False))
        if boundary >= 0:
            metrics.WATERMARK_SECONDS.labels(NAME, self._partition).set(boundary / 1000)
        return [Emission(COHORT_PARTS, part) for part in parts]

    def idle(self) -> list[Emission]:
        """Return what the open windows hold so far, and word that there is nothing more to wait for."""
        boundary = max(self._boundary(), 0)
        parts = [self._part(window, None, boundary, idle=True) for window in self._windows.open()]
        parts.append(self._silence(boundary, idle=True))
        return [Emission(COHORT_PARTS, part) for part in parts]

    def awake(self) -> list[Emission]:
        """Take back the word that there is nothing to wait for."""
        return [Emission(COHORT_PARTS, self._silence(max(self._boundary(), 0), idle=False))]

    def snapshot(self) -> bytes:
        """Return the open windows."""
        return self._windows.snapshot()

    def restore(self, data: bytes) -> None:
        """Go on with the open windows of `snapshot`."""
        self._windows.restore(data)

    def _boundary(self) -> int:
        """The newest end of a pane that the watermark has passed; negative while nothing was seen."""
        watermark = self._windows.watermark_ms
        return watermark // self._slide_ms * self._slide_ms if watermark >= 0 else -1

    def _decode(self, batch: Batch) -> tuple[list[Beat], list[tuple[int, int | None]]]:
        """Return the good beats, and for each its record and its place inside a packed one."""
        found = self._decode_at_once(batch)
        beats: list[Beat] = []
        places: list[tuple[int, int | None]] = []
        for index, inside, beat in found if found is not None else self._decode_one_by_one(batch):
            if beat.time_ms > batch.times_ms[index] + self._max_future_ms:
                batch.refuse(
                    index,
                    f"time_ms: {beat.time_ms} is from the future: more than {self._max_future_ms} ms after"
                    f" its arrival at {batch.times_ms[index]}",
                    inside,
                )
                continue
            beats.append(beat)
            places.append((index, inside))
        return beats, places

    def _decode_at_once(self, batch: Batch) -> list[tuple[int, int | None, Beat]] | None:
        """Decode all records as one array, which is several times faster; None where one of them is bad."""
        values = [value or b"" for value in batch.values]
        if any(batch.packed) or max(map(len, values), default=0) > PLAYBACK.max_bytes:
            return None
        try:
            beats = _MANY.decode(b"[" + b",".join(values) + b"]")
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return None
        if len(beats) != len(values):  # a value of several records would shift all behind it
            return None
        return [(index, None, beat) for index, beat in enumerate(beats)]

    def _decode_one_by_one(self, batch: Batch) -> list[tuple[int, int | None, Beat]]:
        found: list[tuple[int, int | None, Beat]] = []
        for index, (value, packed) in enumerate(zip(batch.values, batch.packed, strict=True)):
            try:
                if packed:
                    beats = _PACKED.decode(value or b"").beats
                    found += [(index, inside, beat) for inside, beat in enumerate(beats)]
                else:
                    found.append((index, None, PLAYBACK.decode(value)))
            except ContractError as error:
                batch.refuse(index, error.reason)
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
                batch.refuse(index, str(error))
        return found

    def _part(
        self, window: WindowSums, origin_ms: int | None, watermark_ms: int, *, idle: bool = False
    ) -> CohortParts:
        return CohortParts(
            id=derive_id("part", self._partition, window.start_ms),
            time_ms=window.start_ms,
            source=self._partition,
            sources=self._partitions,
            window_start_ms=window.start_ms,
            window_ms=self._window_ms,
            watermark_ms=watermark_ms,
            origin_ms=origin_ms,
            dimensions=list(self._dimensions),
            cells=[list(cell) for cell in window.cells],
            measures={name: window.sums[:, column].tolist() for column, name in enumerate(MEASURES)},
            sketches={
                name: Sketch(cell=each.cell.tolist(), bucket=each.bucket.tolist(), count=each.count.tolist())
                for name, each in window.sketches.items()
            },
            folded=window.folded,
            idle=idle,
        )

    def _silence(self, boundary_ms: int, *, idle: bool) -> CohortParts:
        return CohortParts(
            id=derive_id("silence", self._partition, boundary_ms, idle),
            time_ms=boundary_ms,
            source=self._partition,
            sources=self._partitions,
            window_start_ms=boundary_ms,
            window_ms=self._window_ms,
            watermark_ms=boundary_ms,
            idle=idle,
        )


def _columns(
    beats: Sequence[Beat], dimensions: tuple[str, ...], qoe: QoeSettings, buckets: LogBuckets
) -> BeatColumns:
    sums = np.zeros((len(beats), len(MEASURES)))
    column = {name: sums[:, i] for i, name in enumerate(MEASURES)}
    weight = np.array([beat.weight for beat in beats])
    play_ms = np.array([beat.play_ms for beat in beats])
    bitrate = np.array([-1 if beat.bitrate_kbps is None else beat.bitrate_kbps for beat in beats])
    startup_ms = np.array([-1 if beat.startup_ms is None else beat.startup_ms for beat in beats])
    failed = np.array([beat.state is PlayerState.FAILED for beat in beats])
    left = np.array([beat.state in _LEFT for beat in beats])
    refused = failed & np.array([beat.error in qoe.business_errors for beat in beats])
    # Who does not tell how long the wait was is held to have noticed it.
    noticed = np.array([beat.waited_ms is None or beat.waited_ms >= qoe.noticed_wait_ms for beat in beats])
    started = np.array([beat.started for beat in beats])
    stall_ms = np.array([beat.stall_ms for beat in beats])
    stalls = np.array([beat.stalls for beat in beats])
    column["play_ms"][:] = play_ms
    column["stall_ms"][:] = stall_ms
    column["stalls"][:] = stalls
    column["attempts"][:] = [beat.attempt for beat in beats]
    column["starts"][:] = startup_ms >= 0
    column["startup_ms"][:] = np.maximum(startup_ms, 0)
    column["start_failures"][:] = failed & ~started & ~refused
    column["refusals"][:] = refused & ~started
    column["exits_before_start"][:] = left & ~started & noticed
    column["playback_failures"][:] = failed & started
    column["ended_plays"][:] = (left | failed) & started
    column["bitrate_ms"][:] = np.where(bitrate >= 0, play_ms, 0)
    column["bitrate_kbps_ms"][:] = np.where(bitrate >= 0, play_ms * bitrate, 0)
    sums *= weight[:, None]
    return BeatColumns(
        time_ms=np.array([beat.time_ms for beat in beats], dtype=np.int64),
        cells=[tuple(_value(beat, name) for name in dimensions) for beat in beats],
        sessions=np.array([xxh3_64_intdigest(beat.session_id.encode()) for beat in beats], dtype=np.uint64),
        stalled=(stall_ms > 0) | (stalls > 0),
        weight=weight,
        sums=sums,
        buckets={name: _bucketed([getattr(beat, name) for beat in beats], buckets) for name in DURATIONS},
    )


def _bucketed(durations_ms: Sequence[int | None], buckets: LogBuckets) -> NDArray[np.int64]:
    values = np.array([np.nan if value is None else value for value in durations_ms])
    told = ~np.isnan(values)
    found = np.full(len(values), NO_BUCKET)
    found[told] = buckets.of(values[told])
    return found


def _value(beat: Beat, dimension: str) -> str:
    value = getattr(beat, dimension)
    return "" if value is None else str(value)
