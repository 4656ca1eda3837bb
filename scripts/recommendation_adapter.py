"""The lists of the preferences agent behind the interface of a program that judges them, test then learn.

Such a program asks for a viewer's list before it tells what the viewer then watched and how it was rated.
Each event is one rating; popularity is told every hundred events, as the popularity agent tells it now and
then.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from agents.preferences import ListMaker
from config import load
from models.popularity import PopularityTallies
from models.preferences import Taste
from topics import RECOMMENDATIONS
from topics.catalogue import Title
from topics.popularity import TitlePopularity
from topics.recommendations import Recommendation
from topics.viewing import Action, ViewerAction

TELL_POPULARITY_EVERY = 100


class Lists:
    """Keeps each viewer's list as the agent does."""

    def __init__(self) -> None:
        figures = load(os.environ).settings.preferences
        self._catalogue: dict[str, Title] = {}
        self._popularity: dict[str, TitlePopularity] = {}
        self._maker = ListMaker(self._catalogue, self._popularity, figures)
        self._tallies = PopularityTallies(figures.remembered_actions)
        self._tastes: dict[str, Taste] = {}
        self._lists: dict[str, list[str]] = {}
        self._events = 0

    def add_item(self, item: str, meta: Mapping[str, Any]) -> None:
        """Put a title into the catalogue."""
        self._catalogue[item] = Title(time_ms=0, title=item, genres=list(meta.get("genres", ())))

    def recommend(self, user: str, k: int, t: float) -> list[str]:
        """Return the best `k` titles of the viewer's list; a viewer never met gets the list of a newcomer."""
        del t
        if user not in self._lists:
            self._lists[user] = self._after(user, ViewerAction(time_ms=0, viewer=user, action=Action.SEARCH))
        return self._lists[user][:k]

    def learn(self, user: str, item: str, rating: float, t: float) -> None:
        """Take in that the viewer rated a title."""
        del t
        action = ViewerAction(time_ms=0, viewer=user, action=Action.RATE, title=item, rating=rating)
        self._tallies.learn_one(action)
        self._events += 1
        if self._events % TELL_POPULARITY_EVERY == 0:
            for title, tally in self._tallies.take_changed():
                self._popularity[title] = TitlePopularity(
                    time_ms=0,
                    title=title,
                    source=0,
                    ratings=tally.ratings,
                    rating_sum=tally.rating_sum,
                    plays=tally.plays,
                )
        self._lists[user] = self._after(user, action)

    def _after(self, user: str, action: ViewerAction) -> list[str]:
        self._tastes[user], emissions = self._maker.step(self._tastes.get(user), action)
        (made,) = [each.record for each in emissions if each.spec is RECOMMENDATIONS]
        return [each.title for each in made.titles] if isinstance(made, Recommendation) else []
