"""How long it takes from a viewer's stall to that viewer's move, itemised for a configuration.

Some stages take a fixed time and up to a spread more, evenly: a stall falls anywhere between two beats and
anywhere in a window, a command anywhere in a TTL. Of others two quantiles are known: one half lies evenly
below the median, the other above it. The quantiles of the whole are those of the sum of independent stages,
convolved on a grid; they are less than the sum of the stages' own quantiles.

Taken for granted: the first window that holds the stall shows it, and the first command reaches the viewer.
Who is of the control, or of a share that is widened only later, waits for as long as verification takes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec
import numpy as np

from config.settings import Settings

CELLS = 1_000
"""Of the grid; one is the longest possible time over so many."""

LANES = (
    ("sessions", "reports to beats"),
    ("playback", "beats to windows"),
    ("cohorts", "windows to anomalies"),
    ("incidents", "anomalies to incidents"),
    ("policy", "incidents to commands"),
    ("cdn", "commands to answers"),
    ("gateway", "answers to what is served"),
)
"""Who carries it on, each by way of Kafka."""


class Stage(msgspec.Struct, frozen=True):
    """One item of the budget, in seconds."""

    name: str
    what: str
    setting: str
    """What to change to shorten it; empty where nothing that is set does."""
    fixed_s: float
    spread_s: float
    median_s: float
    """Of the spread: as much lies below it as above."""
    p50_s: float
    p95_s: float
    p99_s: float


class Advice(msgspec.Struct, frozen=True):
    """A setting to change."""

    setting: str
    now: float
    to: float
    enough: bool
    """Whether it meets the target by itself."""


class Budget(msgspec.Struct, frozen=True):
    """All of it."""

    audience: str
    stages: list[Stage]
    p50_s: float
    p95_s: float
    p99_s: float
    target_p95_s: float
    advice: list[Advice]
    """What to change where the target cannot be met, the most helpful first; together they meet it, if that
    is possible at all."""

    @property
    def meets_target(self) -> bool:
        """Whether 95 of 100 viewers are moved in time."""
        return self.p95_s <= self.target_p95_s


def budget(settings: Settings, *, live: bool = False) -> Budget:
    """Return the budget of a configuration.

    Args:
        live: of viewers of live streams, whose TTL is kept below their buffer.

    >>> from config import load
    >>> quick = {"PLAYHEAD_QOE__WINDOW_S": "2", "PLAYHEAD_QOE__LATENESS_S": "1",
    ...          "PLAYHEAD_LATENCY__BEAT_S": "1", "PLAYHEAD_STEERING__CALM_TTL_S": "10"}
    >>> budget(load(quick).settings).meets_target
    True
    """
    stages = _stages(settings, live)
    p50_s, p95_s, p99_s = _quantiles(stages)
    target_s = settings.latency.target_p95_s
    advice = _advice(stages, settings) if p95_s > target_s else []
    return Budget("live" if live else "on demand", stages, p50_s, p95_s, p99_s, target_s, advice)


def _stages(settings: Settings, live: bool) -> list[Stage]:
    latency, qoe, steering = settings.latency, settings.qoe, settings.steering
    slide_s = qoe.slide_s or qoe.window_s
    window = "qoe.slide_s" if qoe.slide_s else "qoe.window_s"
    ttl_s = steering.calm_ttl_s * (1 + steering.ttl_jitter)
    ttl_s = min(ttl_s, steering.live_buffer_s) if live else ttl_s
    hop_s = latency.hop_p50_s, latency.hop_p99_s
    return [
        _stage("beat", "until the player's next report", "latency.beat_s", 0.0, latency.beat_s),
        _between("gateway", "report to Kafka", latency.gateway_p50_s, latency.gateway_p99_s),
        _stage("window", "until the window is over", window, 0.0, slide_s),
        _stage("lateness", "for beats that come late", "qoe.lateness_s", qoe.lateness_s, 0.0),
        *(_between(name, what, *hop_s) for name, what in LANES),
        _stage("TTL", "until the player asks again", "steering.calm_ttl_s", 0.0, ttl_s),
        _between("poll", "there and back", latency.poll_p50_s, latency.poll_p99_s),
        _stage("segment", "until the next request for media", "", 0.0, latency.segment_s),
    ]


def _stage(name: str, what: str, setting: str, fixed_s: float, spread_s: float) -> Stage:
    at = (fixed_s + share * spread_s for share in (0.5, 0.95, 0.99))
    return Stage(name, what, setting, fixed_s, spread_s, spread_s / 2, *at)


def _between(name: str, what: str, p50_s: float, p99_s: float) -> Stage:
    """Return a stage of which two quantiles are known."""
    upper_s = max(p99_s - p50_s, 0.0) / 0.98
    return Stage(
        name=name,
        what=what,
        setting="",
        fixed_s=0.0,
        spread_s=p50_s + upper_s,
        median_s=p50_s,
        p50_s=p50_s,
        p95_s=p50_s + 0.9 * upper_s,
        p99_s=p50_s + 0.98 * upper_s,
    )


def _quantiles(stages: Sequence[Stage]) -> tuple[float, float, float]:
    """Return p50, p95 and p99 of the sum of the stages, in seconds."""
    fixed_s = sum(stage.fixed_s for stage in stages)
    longest_s = sum(stage.spread_s for stage in stages)
    if longest_s <= 0:
        return fixed_s, fixed_s, fixed_s
    cell_s = longest_s / CELLS
    total = np.ones(1)
    for stage in stages:
        below = max(round(stage.median_s / cell_s), 1)
        above = max(round((stage.spread_s - stage.median_s) / cell_s), 1)
        even = [np.full(cells, 0.5 / cells) for cells in (below, above)]
        if stage.spread_s > 0:
            total = np.convolve(total, np.concatenate(even))
    reached = np.cumsum(total)
    p50, p95, p99 = (fixed_s + float(np.searchsorted(reached, at) * cell_s) for at in (0.5, 0.95, 0.99))
    return p50, p95, p99


def _advice(stages: Sequence[Stage], settings: Settings) -> list[Advice]:
    """Return settings to change: each taken only as far as it must be, the longest stage first."""
    least_s = {
        "latency.beat_s": settings.latency.least_beat_s,
        "qoe.window_s": settings.latency.least_window_s,
        "qoe.slide_s": settings.latency.least_window_s,
        "qoe.lateness_s": 0.0,
        "steering.calm_ttl_s": max(settings.latency.least_ttl_s, settings.steering.suspect_ttl_most_s),
    }
    target_s = settings.latency.target_p95_s
    now = {stage.setting: stage for stage in stages if stage.setting in least_s}
    longest_first = sorted(now.values(), key=lambda stage: -stage.p99_s)
    advice: list[Advice] = []
    changed = list(stages)
    for stage in longest_first:
        share = _largest_share(changed, stage, least_s[stage.setting], target_s)
        if share >= 1:
            continue
        value = _value(settings, stage.setting)
        to = _rounded(value * share, least_s[stage.setting], whole=isinstance(value, int))
        alone = _largest_share(stages, stage, least_s[stage.setting], target_s)
        met = _quantiles(_with(stages, stage, alone))[1] <= target_s
        advice.append(Advice(stage.setting, value, to, enough=met))
        changed = _with(changed, stage, to / value if value else 0.0)
        if _quantiles(changed)[1] <= target_s:
            break
    return advice


def _largest_share(stages: Sequence[Stage], stage: Stage, least_s: float, target_s: float) -> float:
    """Return what part of a stage may stay so that the target is met, or the least that is advised."""
    length_s = stage.fixed_s + stage.spread_s
    if length_s <= least_s:
        return 1.0
    low, high = least_s / length_s, 1.0
    if _quantiles(_with(stages, stage, low))[1] > target_s:
        return low
    for _ in range(12):
        middle = (low + high) / 2
        if _quantiles(_with(stages, stage, middle))[1] <= target_s:
            low = middle
        else:
            high = middle
    return low


def _with(stages: Sequence[Stage], stage: Stage, share: float) -> list[Stage]:
    shorter = _stage(stage.name, stage.what, stage.setting, stage.fixed_s * share, stage.spread_s * share)
    return [shorter if each.name == stage.name else each for each in stages]


def _value(settings: Settings, name: str) -> float:
    section, field = name.split(".")
    value: float = getattr(getattr(settings, section), field)
    return value


def _rounded(value: float, least: float, *, whole: bool) -> float:
    """Return a figure that people would set, not above `value`: two digits, or a whole number."""
    if value <= 0:
        return least
    step = 10.0 ** (math.floor(math.log10(value)) - 1)
    rounded = float(math.floor(value)) if whole else round(math.floor(value / step) * step, 6)
    return max(rounded, least)
