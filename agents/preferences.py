"""Keeps each viewer's list: viewing + catalogue + popularity ─▶ recommendations, invalidations, cache.

Every action makes the viewer's list anew. What it outdates leaves the cache before the list is published and
the new list enters it after, so the cache never holds what `invalidations` has called outdated.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from agents.keyed import keep
from agents.ports import App, Cache, Publish, View
from config import Settings
from config.sections import PreferenceSettings
from models.preferences import PreferenceModel, Taste
from models.recommending import Recommender
from topics import CATALOGUE, INVALIDATIONS, POPULARITY, RECOMMENDATIONS, VIEWING
from topics.catalogue import Title
from topics.emission import Emission
from topics.fields import derive_id
from topics.popularity import TitlePopularity
from topics.recommendations import (
    Invalidation,
    InvalidationScope,
    Recommendation,
    genre_lists_prefix,
    list_key,
    session_key,
)
from topics.viewing import Action, ViewerAction

NAME = "preferences"

OUTDATES_GENRE_LISTS = frozenset({Action.RATE, Action.ADD_TO_LIST})


def attach(app: App, settings: Settings, publish: Publish) -> None:
    """Learn each viewer's taste, and keep the viewer's list true on the topic and in the cache."""
    maker = ListMaker(app.view(CATALOGUE), app.view(POPULARITY), settings.preferences)
    publish_and_cache = CachedLists(app.cache, publish, settings.preferences.cache_ttl_s)
    keep(app, settings, publish_and_cache, name=NAME, spec=VIEWING, state=Taste, step=maker.step)


class ListMaker:
    """Makes lists of the titles in one view, by taste and by the popularity in another."""

    def __init__(
        self, catalogue: View[Title], popularity: View[TitlePopularity], figures: PreferenceSettings
    ) -> None:
        self._catalogue = catalogue
        self._popularity = popularity
        self._model = PreferenceModel(
            weights={
                Action.PLAY: figures.weight_view,
                Action.LIKE: figures.weight_like,
                Action.RATE: figures.weight_rating,
                Action.SHARE: figures.weight_share,
                Action.ADD_TO_LIST: figures.weight_add_to_list,
            },
            decay=figures.decay,
            remembered_titles=figures.remembered_titles,
            remembered_genres=figures.remembered_genres,
        )
        self._recommender = Recommender(
            genre_share=figures.genre_share,
            popularity_share=figures.popularity_share,
            prior_rating=figures.prior_rating,
            full_confidence_ratings=figures.full_confidence_ratings,
            new_viewer_actions=figures.new_viewer_actions,
            list_length=figures.list_length,
        )

    def step(self, taste: Taste | None, action: ViewerAction) -> tuple[Taste, list[Emission]]:
        """Return the viewer's taste after `action`, what it outdates, and the viewer's new list."""
        self._recommender.stock(self._catalogue.values(), self._popularity.values())
        after = self._model.after(taste or Taste(), action, self._recommender.genres_of(action.title))
        recommendation = Recommendation(
            id=derive_id("recommendation", action.viewer, after.taken),
            time_ms=action.time_ms,
            viewer=action.viewer,
            titles=self._recommender.recommend(after),
            genres=after.genres,
        )
        return after, [
            *(Emission(INVALIDATIONS, each) for each in _outdated(action, after.taken)),
            Emission(RECOMMENDATIONS, recommendation),
        ]


class CachedLists:
    """Publishes, and has the cache follow what was published."""

    def __init__(self, cache: Cache, publish: Publish, ttl_s: float) -> None:
        self._cache = cache
        self._publish = publish
        self._ttl_s = ttl_s

    async def __call__(self, emissions: Sequence[Emission]) -> None:
        """Drop what `emissions` outdate, publish them, and cache the lists among them."""
        await asyncio.gather(*(self._drop(each) for _, each in emissions if isinstance(each, Invalidation)))
        await self._publish(emissions)
        for _, record in emissions:
            if isinstance(record, Recommendation):
                value = RECOMMENDATIONS.encode(record)
                await self._cache.put(list_key(record.viewer), value, self._ttl_s)

    async def _drop(self, outdated: Invalidation) -> None:
        if outdated.scope is InvalidationScope.KEY:
            await self._cache.invalidate(outdated.key)
        else:
            await self._cache.invalidate_prefix(outdated.key)


def _outdated(action: ViewerAction, number: int) -> list[Invalidation]:
    viewer = action.viewer
    outdated = [(InvalidationScope.KEY, list_key(viewer)), (InvalidationScope.KEY, session_key(viewer))]
    if action.action in OUTDATES_GENRE_LISTS:
        outdated.append((InvalidationScope.PREFIX, genre_lists_prefix(viewer)))
    return [
        Invalidation(
            id=derive_id("invalidation", key, number),
            time_ms=action.time_ms,
            scope=scope,
            key=key,
            reason=action.action.value,
        )
        for scope, key in outdated
    ]
