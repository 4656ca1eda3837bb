"""What is on: a channel for each incident, the event time they fill, and how fast it passes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from config.demo import DemoSettings
from playhead.demo.data import Incident
from playhead.demo.feed import Pace, Span
from playhead.demo.score import Label
from playhead.demo.viewers import MINUTE_MS, Answers, Channel, Minute, timeline

LEAST_CHANNELS = 3
BUSY_SHARE = 0.5
"""Of the usual rate, on a machine that has shown to be busy."""


@dataclass(frozen=True, slots=True)
class Programme:
    """The channels, and the span of event time that holds them."""

    span: Span
    channels: list[Channel]
    feed_s: float
    """How long feeding it takes."""

    @property
    def labels(self) -> list[Label]:
        """What people said of each channel."""
        return [
            Label(channel.title, channel.incident.file, channel.labelled_ms, channel.incident.causes)
            for channel in self.channels
        ]

    @property
    def pace(self) -> Pace:
        """How the event clock runs."""
        return Pace(self.span, self.beats)

    @property
    def beats(self) -> list[int]:
        """How many beats all channels have in each minute of the span."""
        beats = [0] * ((self.span.end_ms - self.span.start_ms) // MINUTE_MS)
        for channel in self.channels:
            first = (channel.start_ms - self.span.start_ms) // MINUTE_MS
            for number, minute in enumerate(channel.minutes, first):
                beats[number] += minute.viewers
        return beats


def plan(
    incidents: Sequence[Incident],
    now_ms: int,
    answers: Answers,
    demo: DemoSettings,
    within_s: float | None = None,
) -> Programme:
    """Return the programme of `incidents`, over by `now_ms` of event time.

    Args:
        answers: the steering that players obey.
        within_s: how long feeding may take; where that is too short for all incidents, it is as many of the
            first as it holds at the rate of a busy machine, and three at least.
    """
    minutes = [timeline(incident, demo, demo.seed + number) for number, incident in enumerate(incidents)]
    beats = list(accumulate(sum(minute.viewers for minute in of_one) for of_one in minutes))
    feed_s = max(demo.feed_s, beats[-1] / demo.max_beats_per_s)
    if within_s is not None and feed_s > within_s:
        rate_per_s = BUSY_SHARE * demo.max_beats_per_s
        fitting = sum(so_far <= within_s * rate_per_s for so_far in beats)
        count = min(max(fitting, LEAST_CHANNELS), len(incidents))
        incidents, minutes, feed_s = incidents[:count], minutes[:count], beats[count - 1] / rate_per_s
    span = Span.ending_before(now_ms, max(map(len, minutes)))
    return Programme(span, _channels(incidents, minutes, span, answers, demo), feed_s)


def _channels(
    incidents: Sequence[Incident],
    minutes: Sequence[list[Minute]],
    span: Span,
    answers: Answers,
    demo: DemoSettings,
) -> list[Channel]:
    """Return a channel for each incident; those shorter than the span begin one after another."""
    whole = (span.end_ms - span.start_ms) // MINUTE_MS
    shorter = [number for number, of_one in enumerate(minutes) if len(of_one) < whole]
    channels = []
    for number, incident in enumerate(incidents):
        turn = shorter.index(number) / max(len(shorter) - 1, 1) if number in shorter else 0.0
        start_ms = span.start_ms + round((whole - len(minutes[number])) * turn) * MINUTE_MS
        title, seed = f"channel-{number + 1:02d}", demo.seed + number
        channels.append(Channel(title, incident, minutes[number], start_ms, answers, demo, seed))
    return channels
