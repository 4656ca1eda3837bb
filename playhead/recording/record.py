"""Taking what stands and comes on topics into a recording."""

from __future__ import annotations

from collections.abc import Callable

from playhead.clock import Clock
from playhead.log_reader import time_ms
from playhead.recording.format import Ended
from playhead.recording.writer import RecordingWriter
from playhead.tail import Tail
from topics import (
    CATALOGUE,
    CDN_NODES,
    CHAOS,
    ENCODING_JOBS,
    EXPERIMENTS,
    OPERATOR_ACTIONS,
    PLAYBACK,
    POLICIES,
    SEGMENTS,
    TELEMETRY,
    VIEWING,
)
from topics.spec import AnySpec

INPUTS: tuple[AnySpec, ...] = (
    TELEMETRY,
    PLAYBACK,
    VIEWING,
    CDN_NODES,
    SEGMENTS,
    CATALOGUE,
    EXPERIMENTS,
    POLICIES,
    OPERATOR_ACTIONS,
    CHAOS,
    ENCODING_JOBS,
)
"""What comes from outside: with it, everything else can be made again."""

BATCH = 10_000
WAIT_S = 0.2


def record(
    tail: Tail,
    writer: RecordingWriter,
    clock: Clock,
    *,
    until_end: bool = False,
    to_ms: int | None = None,
    for_s: float | None = None,
    limit: int | None = None,
    stopped: Callable[[], bool] = lambda: False,
    now_ms: Callable[[], int],
    progress: Callable[[], None] = lambda: None,
) -> Ended:
    """Take records from `tail` to `writer` until one of the ends is reached; return which.

    Args:
        tail: what to record.
        writer: where to.
        clock: what `for_s` is measured by.
        until_end: end where the topics ended when the tail began.
        to_ms: take what Kafka took in before this time, Unix epoch in ms, and end.
        for_s: end after so many seconds.
        limit: end after so many records.
        stopped: asked between batches; once true, it ends.
        now_ms: tells the time of day, for `to_ms`.
        progress: called after each batch.

    Raises:
        RecordingError: the recording cannot be written.
        BrokerRefusedError: the broker will not give more.
    """
    deadline_s = None if for_s is None else clock.now_s() + for_s
    while True:
        room = BATCH if limit is None else min(BATCH, limit - writer.records)
        messages = tail.read(room, WAIT_S)
        writer.add(
            messages if to_ms is None else [message for message in messages if time_ms(message) < to_ms]
        )
        progress()
        if stopped():
            return "interrupted"
        if limit is not None and writer.records >= limit:
            return "limit"
        if until_end and not tail.unread:
            return "end"
        if deadline_s is not None and clock.now_s() >= deadline_s:
            return "time"
        # With nothing left of before, all that can still come is newer than now.
        if to_ms is not None and not tail.unread and not messages and now_ms() >= to_ms:
            return "time"
