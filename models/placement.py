"""Where titles are kept: each at its best sites, popular ones at more, filled when the network is quiet.

The score of a site for a title is a weighted sum of the demand there, the headroom of its capacity and how
near it is to those who ask, each in [0, 1].
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from config.sections import PlacementSettings

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Fill:
    """One title to be brought to one site."""

    title: str
    site: str
    at_hour: int
    """Hour of the site's day, 0 to 23: its quietest."""


class Placement:
    """Chooses sites for titles.

    Args:
        settings: weights, how many sites, how much wider popular titles go.

    Example:
        >>> from config import load
        >>> demand = np.array([[9.0, 1.0, 0.0, 0.0]])
        >>> places = Placement(load({}).settings.placement).sites(demand, np.ones(4), np.ones(4))
        >>> places[0].tolist()
        [0, 1, 2]
    """

    def __init__(self, settings: PlacementSettings) -> None:
        self._settings = settings

    def scores(self, demand: Floats, headroom: Floats, nearness: Floats) -> Floats:
        """Return the scores, shape (titles, sites).

        Args:
            demand: requests by title and site, shape (titles, sites), any unit.
            headroom: share of each site's capacity that is free, shape (sites,).
            nearness: 1 where the viewers of a site are next to it, 0 where they are farthest; (sites,).
        """
        settings = self._settings
        most = demand.max(axis=1, keepdims=True)
        relative = np.divide(demand, most, out=np.zeros_like(demand), where=most > 0)
        total: Floats = (
            settings.weight_demand * relative
            + settings.weight_headroom * np.clip(headroom, 0, 1)
            + settings.weight_latency * np.clip(nearness, 0, 1)
        )
        return total

    def copies(self, demand: Floats, sites: int) -> NDArray[np.int64]:
        """Return at how many sites each title is kept, shape (titles,): more for the popular."""
        settings = self._settings
        asked = demand.sum(axis=1)
        average = asked.mean() if len(asked) else 0.0
        wider = np.log2(np.maximum(asked / average, 1.0)) if average > 0 else np.zeros(len(asked))
        wanted = settings.sites + np.floor(settings.sites_per_doubling * wider).astype(np.int64)
        kept: NDArray[np.int64] = np.minimum(wanted, sites)
        return kept

    def sites(self, demand: Floats, headroom: Floats, nearness: Floats) -> list[NDArray[np.int64]]:
        """Return for each title the sites it is kept at, best first; full sites take nothing new."""
        scores = np.where(headroom > 0, self.scores(demand, headroom, nearness), -1.0)
        copies = self.copies(demand, len(headroom))
        ranked = np.argsort(-scores, axis=1, kind="stable")
        return [order[scores[title, order] >= 0][: copies[title]] for title, order in enumerate(ranked)]

    def fills(
        self,
        titles: Sequence[str],
        sites: Sequence[str],
        wanted: Sequence[NDArray[np.int64]],
        held: Sequence[set[int]],
        load_by_hour: Floats,
    ) -> list[Fill]:
        """Return what is to be copied where, each in its site's quietest hour.

        Args:
            wanted: the sites of each title, as `sites` returns them.
            held: the sites that hold each title already.
            load_by_hour: usual load of each site, shape (sites, 24).
        """
        quiet = np.argmin(load_by_hour, axis=1)
        return [
            Fill(title, sites[site], int(quiet[site]))
            for title, places, has in zip(titles, wanted, held, strict=True)
            for site in map(int, places)
            if site not in has
        ]
