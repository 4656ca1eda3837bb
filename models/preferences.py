"""A viewer's taste: genre preferences as a moving average over what the viewer does.

Each action says how much it tells of taste (`weights`) and how positive it is (a rating as its share of the
best one, anything else 1). That is one observation of every genre: weight x signal for the title's genres,
nothing for the others. The preference of a genre is the exponentially weighted moving average of its
observations,

    preference = decay * preference + (1 - decay) * weight * signal

so it lies between 0 and the largest weight, and an action never makes a genre of its title weaker beside the
other genres. Updating the title's genres alone would: watching a drama, a weak signal, would pull down the
drama that a viewer had put on a list.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import msgspec

from topics.viewing import MAX_RATING, Action, ViewerAction

SEEN = frozenset({Action.PLAY, Action.STOP, Action.COMPLETE, Action.RATE})
"""Actions after which a title is held to be known to the viewer."""


class Taste(msgspec.Struct, frozen=True):
    """What is known of one viewer."""

    genres: dict[str, float] = {}
    """Preference by genre."""
    seen: list[str] = []
    """Titles seen, the latest last."""
    told: int = 0
    """Actions that told of taste."""
    taken: int = 0
    """All actions taken in."""


@dataclass(frozen=True, slots=True)
class PreferenceModel:
    """Learns genre preferences.

    Args:
        weights: how much each kind of action tells; an action without a weight tells nothing.
        decay: what stays of the old preference when an action tells of taste.
        remembered_titles: titles seen that are remembered, the latest ones.
        remembered_genres: genres that are remembered, the strongest ones.

    Example:
        >>> model = PreferenceModel({Action.LIKE: 0.3}, decay=0.9, remembered_titles=9, remembered_genres=9)
        >>> like = ViewerAction(time_ms=0, viewer="v", action=Action.LIKE, title="fjord")
        >>> once = model.after(Taste(), like, ["drama", "crime"])
        >>> {genre: round(value, 4) for genre, value in model.after(once, like, ["drama"]).genres.items()}
        {'drama': 0.057, 'crime': 0.027}
    """

    weights: Mapping[Action, float]
    decay: float
    remembered_titles: int
    remembered_genres: int

    def after(self, taste: Taste, action: ViewerAction, genres: Iterable[str]) -> Taste:
        """Return the taste after `action` on a title of `genres` (none where the title is not known)."""
        observed = self._observation(action)
        return Taste(
            genres=taste.genres if observed is None else self._blend(taste.genres, observed, set(genres)),
            seen=self._remember(taste.seen, action),
            told=taste.told + (observed is not None),
            taken=taste.taken + 1,
        )

    def _observation(self, action: ViewerAction) -> float | None:
        weight = self.weights.get(action.action)
        if weight is None or not action.title:
            return None
        if action.action is not Action.RATE:
            return weight
        return None if action.rating is None else weight * action.rating / MAX_RATING

    def _blend(self, old: dict[str, float], observed: float, genres: set[str]) -> dict[str, float]:
        if not genres:
            return old
        new = {genre: self.decay * value for genre, value in old.items()}
        for genre in sorted(genres):
            new[genre] = new.get(genre, 0.0) + (1 - self.decay) * observed
        strongest = sorted(new, key=lambda genre: (-new[genre], genre))[: self.remembered_genres]
        return {genre: new[genre] for genre in strongest}

    def _remember(self, seen: list[str], action: ViewerAction) -> list[str]:
        if action.action not in SEEN or not action.title:
            return seen
        others = [title for title in seen if title != action.title]
        return [*others, action.title][-self.remembered_titles :]
