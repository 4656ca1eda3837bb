"""Every viewer silent at once: what no window can tell, since a window closes by the beats after it.

Either all players are dead or nothing of theirs reaches us; whoever is on call has to know of both. It is
told when every source of beats has been idle for a while, by the broker's time of their word that they are,
and the last whole window had viewers enough. It ends with the next whole window.
"""

from __future__ import annotations

import msgspec

from config.sections import AudienceSettings
from models import words
from models.window_merge import MergedWindow
from topics.anomalies import Anomaly, AnomalyKind, Phase, Severity
from topics.cohorts import MEASURES
from topics.fields import cell_key, derive_id

DETECTOR = "blackout"
METRIC = "beats"
_VIEWERS = MEASURES.index("viewers")


class _State(msgspec.Struct, array_like=True):
    viewers: float = 0.0
    """Of the last whole window."""
    end_ms: int = 0
    """Its end, by the viewers' time."""
    dark_since_ms: int = -1
    """Since when every source is idle, by the broker's time; -1 while one is not."""
    told_ms: int = -1
    """When the blackout was told, by the broker's time; -1 where there is none."""


_STATES = msgspec.msgpack.Decoder(_State)


class Blackout:
    """Watches for the moment when nobody says anything any more.

    Args:
        settings: how many viewers, silent for how long.
    """

    def __init__(self, settings: AudienceSettings) -> None:
        self._min_viewers = settings.min_viewers
        self._after_ms = round(1_000 * settings.silent_after_s)
        self._state = _State()

    def see(self, window: MergedWindow) -> list[Anomaly]:
        """Return the end of the blackout where there was one: `window` is whole."""
        state = self._state
        said = [] if state.told_ms < 0 else [self._anomaly(Phase.END, window.start_ms + window.window_ms)]
        self._state = _State(float(window.sums[:, _VIEWERS].sum()), window.start_ms + window.window_ms)
        return said

    def watch(self, now_ms: int, *, all_idle: bool) -> list[Anomaly]:
        """Return the start of a blackout where one is certain now.

        Args:
            now_ms: the broker's time.
            all_idle: whether every source of beats is idle.
        """
        state = self._state
        if not all_idle:
            state.dark_since_ms = -1
            return []
        if state.dark_since_ms < 0:
            state.dark_since_ms = now_ms
        dark_ms = now_ms - state.dark_since_ms
        if state.told_ms >= 0 or dark_ms < self._after_ms or state.viewers < self._min_viewers:
            return []
        state.told_ms = now_ms
        return [self._anomaly(Phase.START, state.end_ms + dark_ms)]

    def snapshot(self) -> bytes:
        """Return all that is known."""
        return msgspec.msgpack.encode(self._state)

    def restore(self, data: bytes) -> None:
        """Know again what `snapshot` told."""
        self._state = _STATES.decode(data)

    def _anomaly(self, phase: Phase, time_ms: int) -> Anomaly:
        state, everyone = self._state, cell_key({})
        over = phase is Phase.END
        return Anomaly(
            id=derive_id(DETECTOR, state.end_ms, phase),
            time_ms=time_ms,
            subject=everyone,
            series=f"{everyone}/{METRIC}",
            phase=phase,
            kind=AnomalyKind.TRAFFIC_ANOMALY,
            severity=Severity.CRITICAL,
            score=0.0 if over else 1.0,
            confidence=0.0 if over else 1.0,
            metric=METRIC,
            value=0.0,
            baseline=state.viewers,
            detector=DETECTOR,
            impact_viewers=0.0 if over else state.viewers,
            detail="viewers are heard again" if over else self._in_words(time_ms),
            origin_ms=None if over else state.dark_since_ms,
        )

    def _in_words(self, time_ms: int) -> str:
        state = self._state
        for_so_long = words.lasting(time_ms - state.end_ms)
        return (
            f"nothing has come from any of {state.viewers:,.0f} viewers for {for_so_long}: "
            "their players are dead, or their reports do not reach us"
        )
