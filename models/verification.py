"""Whether a move helps: those who were moved beside those of the same audience who were not.

Each window adds to both arms; the interval of the difference holds however often it is looked at, so the
move may be widened at the first window that shows a help and undone at the first that shows a harm. A viewer
counts once a window, and of windows that overlap only those count that share nothing. Viewers whom the
default order had on another CDN count as moved: they are where the moved went.

Source of the interval: `models.confidence_sequence`.
"""

from __future__ import annotations

import msgspec
import numpy as np

from config.sections import PolicySettings
from models.confidence_sequence import Moments, NormalMixture
from models.levers import BITRATE, CDN, P2P
from models.window_merge import MergedWindow
from topics.cohorts import MEASURES
from topics.fields import Cell, derive_id
from topics.steering import SteeringAnswer
from topics.verifications import Verdict, Verification

_AT = {name: column for column, name in enumerate(MEASURES)}
_BAD = [_AT[name] for name in ("stalled_viewers", "start_failures", "playback_failures")]


class Arms(msgspec.Struct):
    """What was seen so far of one audience under one incident's command."""

    incident: str
    command_id: str
    since_ms: int
    seen_to_ms: int = 0
    windows: int = 0
    moved_viewers: float = 0.0
    moved_bad: float = 0.0
    control_viewers: float = 0.0
    control_bad: float = 0.0
    verdict: Verdict = Verdict.UNKNOWN


class Verifier:
    """Compares the two arms of each audience, window by window.

    Args:
        settings: confidence, warm-up, and how long a help may take to show.
    """

    def __init__(self, settings: PolicySettings) -> None:
        self._settings = settings
        self._mixture = NormalMixture(
            alpha=settings.verify_alpha,
            tightest_at=settings.verify_tightest_at,
            warmup=settings.verify_warmup_viewers,
        )

    def step(
        self, arms: Arms | None, answer: SteeringAnswer, window: MergedWindow
    ) -> tuple[Arms, Verification] | None:
        """Return what is known after `window`; None where it tells nothing about `answer`.

        Only windows count that begin when players have had the time to ask for the answer and to be done with
        what they were fetching: who is moved waits for a dead CDN a little longer, and who stays lives on its
        buffer. Those on their way back say nothing: with the fault gone both arms see the same.
        """
        moved_ms = answer.time_ms + int(1_000 * (answer.ttl_s + self._settings.verify_settle_s))
        if not is_compared(answer) or window.start_ms < moved_ms:
            return None
        split = _arms_of(window, answer)
        if split is None:
            return None
        if arms is None or arms.incident != answer.incident:
            arms = Arms(answer.incident, answer.command_id, window.start_ms)
        if window.start_ms < arms.seen_to_ms:
            return None
        moved, control = split
        end_ms = window.start_ms + window.window_ms
        after = Arms(
            incident=answer.incident,
            command_id=answer.command_id,
            since_ms=arms.since_ms,
            seen_to_ms=end_ms,
            windows=arms.windows + 1,
            moved_viewers=arms.moved_viewers + moved[0],
            moved_bad=arms.moved_bad + moved[1],
            control_viewers=arms.control_viewers + control[0],
            control_bad=arms.control_bad + control[1],
            verdict=arms.verdict,
        )
        interval = self._mixture.of_difference(
            _moments(after.control_viewers, after.control_bad), _moments(after.moved_viewers, after.moved_bad)
        )
        waited_ms = end_ms - after.since_ms
        # Moved viewers who are well are no reason to move them back, whatever the others see.
        ill = after.moved_bad > self._settings.well_ratio * after.moved_viewers
        if interval is not None and interval.high < 0:
            after.verdict = Verdict.HELPED
        elif ill and interval is not None and interval.low > 0:
            after.verdict = Verdict.HARMED
        elif ill and waited_ms >= 1_000 * self._settings.verify_within_s and after.verdict is Verdict.UNKNOWN:
            after.verdict = Verdict.NO_EFFECT
        return after, Verification(
            id=derive_id("verification", answer.audience, answer.incident, end_ms),
            time_ms=end_ms,
            audience=answer.audience,
            command_id=answer.command_id,
            incident=answer.incident,
            since_ms=after.since_ms,
            window_end_ms=end_ms,
            windows=after.windows,
            moved_viewers=after.moved_viewers,
            moved_bad=after.moved_bad,
            control_viewers=after.control_viewers,
            control_bad=after.control_bad,
            difference_low=interval.low if interval is not None else None,
            difference_high=interval.high if interval is not None else None,
            p_value=interval.p_value if interval is not None else 1.0,
            verdict=after.verdict,
        )


def is_compared(answer: SteeringAnswer) -> bool:
    """Whether an audience has moved and unmoved viewers under `answer`: on a way back it soon has not."""
    return bool(answer.command_id) and not answer.ramp


def _arms_of(window: MergedWindow, answer: SteeringAnswer) -> tuple[tuple[float, float], ...] | None:
    """Return viewers and bad ones of those moved and of the control; None where they cannot be told apart."""
    inside = _inside(window, answer.cell)
    if answer.away_from and CDN in window.dimensions:
        on = _column(window, CDN)
        # Of whom it is not known what serves them it is not known whether they have moved.
        inside, stayed = inside & (on != ""), on == answer.away_from
    elif answer.max_bitrate_kbps is not None and BITRATE in window.dimensions:
        most = answer.max_bitrate_kbps
        stayed = np.array([_number(value) > most for value in _column(window, BITRATE)], dtype=bool)
    elif answer.p2p is False and P2P in window.dimensions:
        stayed = _column(window, P2P) == "1"
    else:
        return None
    return _counted(window, inside & ~stayed), _counted(window, inside & stayed)


def _inside(window: MergedWindow, cell: Cell) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    inside = np.ones(len(window.cells), dtype=bool)
    for name, value in cell.items():
        if name in window.dimensions:
            inside &= _column(window, name) == value
    return inside


def _column(window: MergedWindow, name: str) -> np.ndarray[tuple[int], np.dtype[np.str_]]:
    at = window.dimensions.index(name)
    return np.array([cell[at] for cell in window.cells], dtype=np.str_)


def _counted(window: MergedWindow, rows: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> tuple[float, float]:
    sums = window.sums[rows]
    viewers = sums[:, _AT["viewers"]]
    bad = np.minimum(sums[:, _BAD].sum(axis=1), viewers)
    return float(viewers.sum()), float(bad.sum())


def _moments(viewers: float, bad: float) -> Moments:
    if viewers < 2:
        return Moments(int(viewers), 0.0, 0.0)
    # One more of each sort: an arm without a bad viewer is not without variance.
    rate = (bad + 0.5) / (viewers + 1)
    return Moments(int(viewers), bad / viewers, rate * (1 - rate))


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0
