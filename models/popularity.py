"""How popular titles are: what their ratings are worth, and how often they are played."""

from __future__ import annotations

import msgspec

from models.recent_ids import RecentIds
from topics.viewing import Action, ViewerAction


def bayesian_average(ratings: int, rating_sum: float, *, prior: float, full_confidence: int) -> float:
    """Return the mean rating, drawn towards `prior` while there are fewer than `full_confidence` ratings.

    A single enthusiast does not make a title the best one: confidence grows with each rating, from none
    to full, after which the mean speaks for itself.

    >>> bayesian_average(0, 0.0, prior=3.0, full_confidence=100)
    3.0
    >>> bayesian_average(50, 250.0, prior=3.0, full_confidence=100)
    4.0
    >>> bayesian_average(200, 1000.0, prior=3.0, full_confidence=100)
    5.0
    """
    if ratings == 0:
        return prior
    confidence = min(ratings / full_confidence, 1.0)
    return confidence * rating_sum / ratings + (1 - confidence) * prior


class Tally(msgspec.Struct):
    """Running sums of one title."""

    ratings: int = 0
    rating_sum: float = 0.0
    plays: int = 0


class _State(msgspec.Struct):
    tallies: dict[str, Tally]
    changed: list[str]
    recent: list[str]


_STATES = msgspec.msgpack.Decoder(_State)


class PopularityTallies:
    """Counts ratings and plays of titles. Each rating counts: a viewer who rates twice counts twice.

    Args:
        remembered_actions: actions whose ids are remembered, so that one told twice counts once.

    Example:
        >>> tallies = PopularityTallies(remembered_actions=100)
        >>> tallies.learn_one(ViewerAction(time_ms=0, viewer="v", action=Action.PLAY, title="fjord"))
        >>> tallies.take_changed()
        [('fjord', Tally(ratings=0, rating_sum=0.0, plays=1))]
        >>> tallies.take_changed()
        []
    """

    def __init__(self, remembered_actions: int) -> None:
        self._remembered_actions = remembered_actions
        self._recent = RecentIds(remembered_actions)
        self._tallies: dict[str, Tally] = {}
        # A dict, not a set: its order is the order of the stream and not of the process's hash seed.
        self._changed: dict[str, None] = {}

    def learn_one(self, action: ViewerAction) -> None:
        """Count `action` where it is a play or a rating of a title."""
        rating = action.rating if action.action is Action.RATE else None
        if not action.title or (rating is None and action.action is not Action.PLAY):
            return
        if action.id and not self._recent.add(action.id):
            return
        tally = self._tallies.setdefault(action.title, Tally())
        if rating is None:
            tally.plays += 1
        else:
            tally.ratings += 1
            tally.rating_sum += rating
        self._changed[action.title] = None

    def take_changed(self) -> list[tuple[str, Tally]]:
        """Return title and sums of all that changed since this was asked last."""
        changed = [(title, self._tallies[title]) for title in self._changed]
        self._changed = {}
        return changed

    def snapshot(self) -> bytes:
        """Return all that was counted."""
        return msgspec.msgpack.encode(_State(self._tallies, list(self._changed), list(self._recent)))

    def restore(self, data: bytes) -> None:
        """Put back what `snapshot` returned."""
        state = _STATES.decode(data)
        self._tallies = state.tallies
        self._changed = dict.fromkeys(state.changed)
        self._recent = RecentIds(self._remembered_actions, state.recent)
