"""Scores a run of the demo: was each labelled incident found, its cause named, the loop closed, and how fast.

Nothing here is assumed: every figure is counted or timed in the run, from the records and their broker times.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import cast

import msgspec

from models import words
from playhead.demo.data import Series
from playhead.demo.feed import Span
from playhead.demo.story import Loop, Story, Told
from playhead.demo.viewers import MINUTE_MS
from topics import RECOMMENDATIONS
from topics.anomalies import Phase
from topics.commands import Command
from topics.experiments import ExperimentResult
from topics.fields import Cell, cell_key
from topics.incidents import Incident, IncidentState
from topics.telemetry import series_key

FIRST_FEW = 5

STALLS = ("stalled_ratio", "rebuffering_ratio")
"""Measures of stalling: what the labels are about."""


class Label(msgspec.Struct, frozen=True):
    """What people said of a channel: in which minute (event time) something was wrong, and why."""

    title: str
    file: str
    minute_ms: int
    causes: list[Cell]


class Verdict(msgspec.Struct, frozen=True):
    """What was made of one label."""

    label: Label
    detected: bool
    """An incident of stalling viewers of the channel was open in the labelled minute."""
    named: Cell | None = None
    """The first cause it was given by then."""
    right: bool = False
    """That is one of the labelled ones."""
    among_first: bool = False
    """One of the first five causes is."""


class Latency(msgspec.Struct, frozen=True):
    """Quantiles of times, in ms; None where there are none."""

    count: int
    p50_ms: float | None = None
    p99_ms: float | None = None


class Count(msgspec.Struct, frozen=True):
    """What became of the events of one topic."""

    sent: int
    processed: int
    dead: int

    @property
    def lost(self) -> int:
        """Events of which nobody knows what became."""
        return self.sent - self.processed - self.dead


class Step(msgspec.Struct, frozen=True):
    """One step of the loop: whether it was seen, and what of it."""

    name: str
    seen: bool
    detail: str


class Result(msgspec.Struct, frozen=True):
    """Everything that a run is told to have shown."""

    counts: dict[str, Count]
    feed_s: float
    beats: dict[str, int]
    """Beats sent, by where they come from."""
    event_to_alert: Latency
    """From the broker's time of the beat or sample that made the difference to the incident's opening."""
    alert_to_steering: Latency
    """From the incident's opening to the first steering answer for it."""
    verdicts: list[Verdict]
    unlabelled: int
    """Incidents of channels that no label asked for: other trouble in the recordings, or false alarms."""
    series_windows: int
    """Labelled windows of the metric series."""
    series_found: int
    """Those in which an episode began."""
    series_elsewhere: int
    """Episodes that began outside of all labelled windows."""
    lists: int
    """Times a viewer's list of titles was made."""
    experiment: list[ExperimentResult]
    """How the experiment stands at the end, by metric."""
    steps: list[Step]

    @property
    def rate_per_s(self) -> float:
        """Events sent per second of feeding."""
        return sum(count.sent for count in self.counts.values()) / self.feed_s

    @property
    def lost(self) -> int:
        """Events of all topics of which nobody knows what became."""
        return sum(count.lost for count in self.counts.values())

    @property
    def closed(self) -> bool:
        """Whether every step of the loop was seen."""
        return all(step.seen for step in self.steps)


def score(
    story: Story,
    labels: Sequence[Label],
    series: Sequence[Series],
    span: Span,
    counts: Mapping[str, Count],
    beats: Mapping[str, int],
    feed_s: float,
) -> Result:
    """Return what the run has shown."""
    loops = story.loops()
    found, elsewhere = _series_found(story, series, span)
    verdicts = [judge(label, _about(label.title, loops)) for label in labels]
    wanted = {label.title: label.minute_ms for label in labels}
    return Result(
        counts=dict(counts),
        feed_s=feed_s,
        beats=dict(beats),
        event_to_alert=latency(_to_alert(loops)),
        alert_to_steering=latency(_to_steering(loops)),
        verdicts=verdicts,
        unlabelled=sum(
            loop.title in wanted and _standing(loop, wanted[loop.title]) is None for loop in loops
        ),
        series_windows=sum(len(each.windows) for each in series),
        series_found=found,
        series_elsewhere=elsewhere,
        lists=story.told[RECOMMENDATIONS.name],
        experiment=list(story.results.values()),
        steps=steps(story, counts),
    )


def _about(title: str, loops: Sequence[Loop]) -> list[Loop]:
    """Return the incidents of a channel; where it has none those that channels share."""
    own = [loop for loop in loops if loop.title == title]
    return own or [loop for loop in loops if loop.of_viewers and not loop.title]


def judge(label: Label, loops: Sequence[Loop]) -> Verdict:
    """Return what the incidents of a label's channel make of the label.

    Where several were open in the labelled minute, the one that opened last is taken at its word.
    """
    standing = [told for loop in loops if (told := _standing(loop, label.minute_ms)) is not None]
    if not standing:
        return Verdict(label, detected=False)
    incident = max(standing, key=lambda each: (each.opened_ms, each.impact_viewers))
    causes = [cause.cell for cause in incident.causes[:FIRST_FEW]]
    return Verdict(
        label,
        detected=True,
        named=incident.cause or None,
        right=incident.cause in label.causes,
        among_first=any(cause in label.causes for cause in causes),
    )


def _standing(loop: Loop, minute_ms: int) -> Incident | None:
    """Return the incident as it stood when the minute was over, if viewers were held to stall then."""
    end_ms = minute_ms + MINUTE_MS
    told = [each for each in loop.versions if each.record.time_ms <= end_ms]
    if not told:
        return None
    incident = cast(Incident, told[-1].record)
    stalls = any(series.endswith(STALLS) for series in incident.firing)
    return incident if stalls and incident.state is not IncidentState.RESOLVED else None


def steps(story: Story, counts: Mapping[str, Count]) -> list[Step]:
    """Return the steps of the loop, in its order.

    The first five are those of the incident that got furthest.
    """
    loops = [loop for loop in story.loops() if loop.of_viewers]
    furthest = max(loops, key=_progress, default=None)
    if furthest is None:
        names = ("incident with a named cause", "command", "steering changed", "recovery", "undo")
        loop_steps = [Step(name, False, "no incident of a channel was seen") for name in names]
    else:
        loop_steps = _loop_steps(furthest)
    switch = story.selections[0] if story.selections else None
    served = f"{switch.stream} is served from {switch.pipeline}" if switch else "no selection was told"
    lost = sum(count.lost for count in counts.values())
    dead = sum(count.dead for count in counts.values())
    return [
        *loop_steps,
        Step("ingest switched", switch is not None, served),
        Step("counts add up", not lost, f"in = processed + dead, {dead:,} dead, {lost:,} lost"),
    ]


def _loop_steps(loop: Loop) -> list[Step]:
    incident = loop.newest
    move = cast(Command, loop.moves[0].record) if loop.moves else None
    lasted_ms = None if incident.resolved_ms is None else incident.resolved_ms - incident.opened_ms
    return [
        Step("incident with a named cause", bool(incident.cause), incident.subject),
        Step("command", move is not None, f"{move.kind.value} {move.target}" if move else "none followed"),
        Step("steering changed", bool(loop.answers), _times(len(loop.answers))),
        Step(
            "recovery",
            loop.recovered,
            "still open" if lasted_ms is None else f"after {words.lasting(lasted_ms)}",
        ),
        Step("undo", loop.undo is not None, "served as before" if loop.undo else "still steered"),
    ]


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _progress(loop: Loop) -> tuple[int, float]:
    seen = (loop.newest.cause, loop.moves, loop.answers, loop.recovered, loop.undo is not None)
    return sum(map(bool, seen)), loop.newest.impact_viewers


def latency(times_ms: Sequence[float]) -> Latency:
    """Return the quantiles of `times_ms` by nearest rank: p99 of a hundred or fewer is the largest.

    >>> latency([30.0, 10.0, 20.0])
    Latency(count=3, p50_ms=20.0, p99_ms=30.0)
    """
    ordered = sorted(times_ms)
    if not ordered:
        return Latency(0)
    p50, p99 = (ordered[math.ceil(share * len(ordered)) - 1] for share in (0.5, 0.99))
    return Latency(len(ordered), p50, p99)


def _to_alert(loops: Sequence[Loop]) -> list[float]:
    opened = [(loop.versions[0], cast(Incident, loop.versions[0].record)) for loop in loops]
    return [told.broker_ms - each.origin_ms for told, each in opened if each.origin_ms is not None]


def _to_steering(loops: Sequence[Loop]) -> list[float]:
    return [_first(loop.answers) - _first(loop.versions) for loop in loops if loop.answers]


def _first(told: Sequence[Told]) -> int:
    return min(each.broker_ms for each in told)


def _series_found(story: Story, series: Sequence[Series], span: Span) -> tuple[int, int]:
    """Return in how many labelled windows an episode began, and how many episodes began in none."""
    found = elsewhere = 0
    for each in series:
        shift_ms = span.end_ms - each.times_s[-1] * 1_000
        windows = [(start * 1_000 + shift_ms, end * 1_000 + shift_ms) for start, end in each.windows]
        name = series_key(each.service, each.metric)
        begun = [a.time_ms for a in story.anomalies if a.series == name and a.phase is Phase.START]
        found += sum(any(start <= at <= end for at in begun) for start, end in windows)
        elsewhere += sum(not any(start <= at <= end for start, end in windows) for at in begun)
    return found, elsewhere


def told(cell: Cell | None) -> str:
    """Return a cause in words."""
    return cell_key(cell) if cell else "none named"
