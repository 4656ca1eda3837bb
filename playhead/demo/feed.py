"""Feeds the demo's traffic into the topics at the pace of one event clock.

The event clock runs through the recorded time, much faster than the wall's, and lies in the past throughout:
no event is ever from the future.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import NamedTuple, Protocol

import numpy as np

from playhead.bulk_sender import Sender
from playhead.clock import Clock
from playhead.demo.viewers import MINUTE_MS, Channel
from topics import ALL, PLAYBACK
from topics.emission import Emission
from topics.spec import AnySpec

MOST_APART_MS = 500
"""How far apart in event time two events may be sent in the wrong order; lateness allows for more."""


@dataclass(frozen=True, slots=True)
class Span:
    """The event time that the demo goes through, in whole minutes.

    >>> span = Span.ending_before(now_ms=1_000_000_059_000, minutes=2)
    >>> span.end_ms <= 1_000_000_059_000, span.start_ms % 60_000, span.end_ms - span.start_ms
    (True, 0, 120000)
    """

    start_ms: int
    end_ms: int

    @classmethod
    def ending_before(cls, now_ms: int, minutes: int) -> Span:
        """Return the newest span of so many whole minutes that is over by `now_ms`."""
        end_ms = now_ms // MINUTE_MS * MINUTE_MS
        return cls(end_ms - minutes * MINUTE_MS, end_ms)

    def at(self, share: float) -> int:
        """Return the event time when `share` of the span is over."""
        return self.start_ms + int(min(share, 1.0) * (self.end_ms - self.start_ms))


class Pace:
    """How fast the event clock runs: slower through minutes with many beats, so that beats come evenly.

    Args:
        span: what it runs through.
        beats: of each minute of the span.

    Example:
        >>> pace = Pace(Span(0, 120_000), [700, 300])
        >>> pace.at(0.0), pace.at(0.35), pace.at(0.7), pace.at(1.0)
        (0, 30000, 60000, 120000)
    """

    def __init__(self, span: Span, beats: Sequence[int]) -> None:
        # A minute without beats takes its time too, else the clock would jump.
        least = sum(beats) / len(beats) / 2 + 1
        ends = list(accumulate(max(each, least) for each in beats))
        self._shares = [0.0, *(end / ends[-1] for end in ends)]
        self._times_ms = range(span.start_ms, span.end_ms + 1, MINUTE_MS)

    def at(self, share: float) -> int:
        """Return the event time when `share` of the feeding is over."""
        return round(float(np.interp(share, self._shares, self._times_ms)))


class Fed(NamedTuple):
    """One record on its way in."""

    spec: AnySpec
    key: bytes
    value: bytes

    @classmethod
    def of(cls, emission: Emission) -> Fed:
        """Return a record encoded as its contract has it."""
        spec, record = emission
        return cls(spec, emission.key.encode(), spec.encode(record))


class Source(Protocol):
    """Something that has records."""

    def until(self, time_ms: int) -> Iterable[Fed]:
        """Yield what happens before `time_ms` and was not yielded yet, in the order of time."""


class ChannelSource:
    """The beats of a channel's viewers."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    def until(self, time_ms: int) -> Iterator[Fed]:
        """Yield the beats before `time_ms`."""
        for key, value in self._channel.until(time_ms):
            yield Fed(PLAYBACK, key, value)


class Schedule:
    """Records known beforehand.

    Args:
        events: pairs of the demo's time and the record, in the order of that time.
    """

    def __init__(self, events: Iterable[tuple[int, Emission]]) -> None:
        self._events = iter(events)
        self._next = next(self._events, None)

    def until(self, time_ms: int) -> Iterator[Fed]:
        """Yield the records before `time_ms`."""
        while self._next is not None and self._next[0] < time_ms:
            yield Fed.of(self._next[1])
            self._next = next(self._events, None)


class Feeder:
    """Sends what its sources have, evenly over `feed_s` of the wall's time.

    Args:
        sources: what is sent; of one moment, in this order.
        pace: of the event clock.
        prefix: of the run's topics.
        feed_s: how long that takes.
        tick_s: how often something is sent.
        waits: asked before each tick; the event clock stands still while it says yes.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        pace: Pace,
        sender: Sender,
        clock: Clock,
        *,
        prefix: str,
        feed_s: float,
        tick_s: float,
        waits: Callable[[], bool] = lambda: False,
    ) -> None:
        self.sent: Counter[str] = Counter()
        """Events by topic."""
        self.event_ms = pace.at(0.0)
        """Where the event clock stands."""
        self.took_s = 0.0
        """How long feeding took, once it is over."""
        self._sources = sources
        self._pace = pace
        self._sender = sender
        self._clock = clock
        self._names = {spec.name: spec.full_name(prefix) for spec in ALL}
        self._feed_s = feed_s
        self._tick_s = tick_s
        self._waits = waits

    def run(self, stopped: Callable[[], bool] = lambda: False) -> None:
        """Send all, and return when Kafka has it; sooner once `stopped`."""
        began_s = self._clock.now_s()
        waited_s = 0.0
        while not stopped():
            tick_began_s = self._clock.now_s()
            if self._waits():
                self._clock.wait(self._tick_s)
                waited_s += self._clock.now_s() - tick_began_s
                continue
            share = (tick_began_s - began_s - waited_s) / self._feed_s
            self._send_until(self._pace.at(share))
            if share >= 1:
                break
            self._clock.wait(self._tick_s - (self._clock.now_s() - tick_began_s))
        self._sender.flush()
        self.took_s = self._clock.now_s() - began_s

    def _send_until(self, time_ms: int) -> None:
        # In small steps: what one source has must not run ahead of what the others have, or that were late.
        while self.event_ms < time_ms:
            self.event_ms = min(self.event_ms + MOST_APART_MS, time_ms)
            for source in self._sources:
                for fed in source.until(self.event_ms):
                    self._send(fed)
            self._sender.poll()

    def _send(self, fed: Fed) -> None:
        spec, key, value = fed
        self._sender.send(self._names[spec.name], value, key)
        self.sent[spec.name] += 1
