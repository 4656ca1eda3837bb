"""Which titles to show a viewer: what matches the viewer's genres, and what is popular.

score = genre_share * match + popularity_share * popularity, where match is the cosine of the viewer's genre
preferences and the title's genres, from 0 to 1, and popularity the Bayesian average rating over the best
possible one. A viewer who has told little of taste gets what is popular (cold start). Equal scores go to the
title that is played more, then by title id.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from models.popularity import Tally, bayesian_average
from models.preferences import Taste
from topics.catalogue import Title
from topics.popularity import TitlePopularity
from topics.recommendations import Suggestion
from topics.viewing import MAX_RATING

POPULAR = "popular"
REASON_CHARS = 200
"""The longest reason that a list may carry."""

_DECIMALS = 6
"""Of scores: what differs less differs by rounding, and is a tie."""


@dataclass(slots=True)
class Recommender:
    """Ranks the catalogue for a viewer.

    Args:
        genre_share: of the score, for the match of genres.
        popularity_share: of the score, for popularity.
        prior_rating: what a title without ratings is held to be worth.
        full_confidence_ratings: after so many ratings the mean rating speaks for itself.
        new_viewer_actions: a viewer who has told of taste less often gets what is popular.
        list_length: titles of a list, at most.

    Example:
        >>> recommender = Recommender(0.7, 0.3, prior_rating=3.0, full_confidence_ratings=100,
        ...                           new_viewer_actions=1, list_length=2)
        >>> recommender.stock([Title(time_ms=0, title="fjord", genres=["crime"]),
        ...                    Title(time_ms=0, title="gala", genres=["comedy"])], [])
        >>> [(each.title, each.score, each.reason)
        ...  for each in recommender.recommend(Taste(genres={"crime": 0.06}, told=1))]
        [('fjord', 0.88, 'because of crime'), ('gala', 0.18, 'popular')]
    """

    genre_share: float
    popularity_share: float
    prior_rating: float
    full_confidence_ratings: int
    new_viewer_actions: int
    list_length: int
    _catalogue: list[Title] = field(init=False, default_factory=list)
    _heard: list[TitlePopularity] = field(init=False, default_factory=list)
    _titles: list[Title] = field(init=False, default_factory=list)
    _rows: dict[str, int] = field(init=False, default_factory=dict)
    _columns: dict[str, int] = field(init=False, default_factory=dict)
    _directions: NDArray[np.float64] = field(init=False, default_factory=lambda: np.zeros((0, 0)))
    """Shape (titles, genres): each title's genres as a vector of length 1, or of zeros without any."""
    _popularity: NDArray[np.float64] = field(init=False, default_factory=lambda: np.zeros(0))
    _plays: NDArray[np.int64] = field(init=False, default_factory=lambda: np.zeros(0, dtype=np.int64))

    def stock(self, catalogue: Iterable[Title], popularity: Iterable[TitlePopularity]) -> None:
        """Take in the catalogue and what is popular; cheap where nothing changed."""
        # Records are immutable and the same objects until replaced: comparing the lists compares addresses.
        catalogue, popularity = list(catalogue), list(popularity)
        new_titles = catalogue != self._catalogue
        if new_titles:
            self._catalogue = catalogue
            self._arrange()
        if new_titles or popularity != self._heard:
            self._heard = popularity
            self._weigh()

    def genres_of(self, title: str) -> list[str]:
        """Return the genres of `title`: none where the catalogue does not have it."""
        row = self._rows.get(title)
        return [] if row is None else self._titles[row].genres

    def recommend(self, taste: Taste) -> list[Suggestion]:
        """Return the best titles that the viewer has not seen, best first."""
        match = self._match(taste)
        score = self._popularity if match is None else self._blend(match)
        score = np.round(score, _DECIMALS)
        unseen = np.ones(len(self._titles), dtype=bool)
        unseen[[row for title in taste.seen if (row := self._rows.get(title)) is not None]] = False
        # Titles stand in the order of their ids, and the sort is stable: that settles what is still equal.
        order = np.lexsort((-self._plays, -score))
        best = order[unseen[order]][: self.list_length].tolist()
        personal = {} if match is None else taste.genres
        return [
            Suggestion(
                title=self._titles[row].title,
                score=float(score[row]),
                reason=_reason(self._titles[row], personal),
            )
            for row in best
        ]

    def _arrange(self) -> None:
        self._titles = sorted(self._catalogue, key=lambda title: title.title)
        self._rows = {title.title: row for row, title in enumerate(self._titles)}
        genres = sorted({genre for title in self._titles for genre in title.genres})
        self._columns = {genre: column for column, genre in enumerate(genres)}
        self._directions = np.zeros((len(self._titles), len(genres)))
        for row, title in enumerate(self._titles):
            own = [self._columns[genre] for genre in set(title.genres)]
            if own:
                self._directions[row, own] = 1 / np.sqrt(len(own))

    def _weigh(self) -> None:
        total = [Tally() for _ in self._titles]
        for part in self._heard:
            row = self._rows.get(part.title)
            if row is not None:
                total[row].ratings += part.ratings
                total[row].rating_sum += part.rating_sum
                total[row].plays += part.plays
        self._popularity = np.array(
            [
                bayesian_average(
                    each.ratings,
                    each.rating_sum,
                    prior=self.prior_rating,
                    full_confidence=self.full_confidence_ratings,
                )
                / MAX_RATING
                for each in total
            ]
        )
        self._plays = np.array([each.plays for each in total], dtype=np.int64)

    def _match(self, taste: Taste) -> NDArray[np.float64] | None:
        """The cosine of taste and each title; None where too little is known of the taste."""
        if taste.told < self.new_viewer_actions:
            return None
        wanted = np.zeros(len(self._columns))
        for genre, preference in taste.genres.items():
            column = self._columns.get(genre)
            if column is not None:
                wanted[column] = preference
        length = float(np.linalg.norm(wanted))
        if length == 0.0:
            return None
        cosine: NDArray[np.float64] = self._directions @ (wanted / length)
        return cosine

    def _blend(self, match: NDArray[np.float64]) -> NDArray[np.float64]:
        return self.genre_share * match + self.popularity_share * self._popularity


def _reason(title: Title, preferences: dict[str, float]) -> str:
    liked = sorted(
        (genre for genre in set(title.genres) if preferences.get(genre, 0.0) > 0),
        key=lambda genre: (-preferences[genre], genre),
    )
    return f"because of {' and '.join(liked[:2])}"[:REASON_CHARS] if liked else POPULAR
