"""One poll of a player: from the state it carries to the manifest it is given.

A player may ask one process and then another that has not read so far. Its state says what it has been told,
and a word that is older than that is not served: the order in the state stands for a while instead.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import msgspec

from config import Settings
from config.delivery import PathwaySettings
from models.steering_answers import Answer, Viewer, answer_for
from models.steering_audiences import Audiences
from models.steering_manifest import SteeringManifest, clones_in, shed_clones
from models.steering_order import bucket, group_of, last_of, shared_out
from models.steering_state import Protocol, State
from topics.catalogue import Title
from topics.delivery import Delivery

VERSION = 1
REMEMBERED = 8


@dataclass(frozen=True, slots=True)
class Told:
    """What a poll is answered."""

    manifest: SteeringManifest
    order: list[str]
    """CDNs, best first; the manifest may name clones besides."""
    state: State
    """What the player is to come back with."""


class Polls:
    """Answers polls.

    Args:
        settings: all of them; `steering` and `delivery` are used.
        audiences: what each audience is told.
        title_of: the catalogue's record of a title, where there is one.
        dead_of: the CDNs that a group is not sent to at a time, as none of their nodes is up.
    """

    def __init__(
        self,
        settings: Settings,
        audiences: Audiences,
        title_of: Callable[[str], Title | None],
        dead_of: Callable[[int, int], Sequence[str]] = lambda group, now_ms: (),
    ) -> None:
        self._steering = settings.steering
        self._delivery = settings.delivery
        self._audiences = audiences
        self._title_of = title_of
        self._dead_of = dead_of

    def has_ended(self, title: str) -> bool:
        """Whether the event is over, so that nobody need ask again."""
        delivery = self._delivery_of(title)
        return delivery is not None and delivery.ended

    def group_of(self, viewer: str) -> int:
        """Return the group that `viewer` is moved with."""
        return group_of(viewer, self._steering.buckets)

    def default_order(self, title: str, group: int, dead: Sequence[str] = ()) -> list[str]:
        """Return where viewers of `group` go while nothing is asked: to those that are `dead` last.

        Only whose own CDN is dead goes elsewhere: as others like him do, in the proportions of the split.
        """
        delivery = self._delivery_of(title)
        order: list[str] = list(self._delivery.order)
        split: Mapping[str, float] = self._delivery.split
        if delivery is not None:
            there = [name for name in delivery.pathways if self._is_known(name)]
            order, split = there or order, delivery.split or split
        split = {name: share for name, share in split.items() if name in order}
        drawn = shared_out(order, split, bucket(str(group), "default"))
        if drawn[0] in dead:
            left = {name: share for name, share in split.items() if name not in dead}
            whole = sum(left.values())
            shares = {name: share / whole for name, share in left.items()} if whole else {}
            alive = [name for name in order if name not in dead]
            drawn = [*shared_out(alive, shares, bucket(str(group), "dead")), *drawn]
        return last_of(drawn, dead)

    def answer(self, state: State, *, genuine: bool, now_ms: int, load: float) -> Told:
        """Return what a player with `state` is told.

        Args:
            genuine: the state is of our making; else it tells who asks and not what was told.
            load: polls a second over those that are to be answered.
        """
        title = self._title_of(state.asset)
        live = title.live if title is not None else state.live
        default = self.default_order(state.asset, state.group)
        viewer = Viewer(str(state.group), {**state.cell, "title": state.asset}, live)
        answer = answer_for(self._audiences, self._steering, viewer, default, now_ms, load)
        dead = self._dead_of(state.group, now_ms)
        if dead and not answer.control:
            if answer.order[0] in dead:
                default = self.default_order(state.asset, state.group, dead)
                answer = answer_for(self._audiences, self._steering, viewer, default, now_ms, load)
            # Also where a command named it: that was before it died.
            answer = replace(answer, order=last_of(answer.order, dead))
        fresh = genuine and now_ms - state.time_ms < 1_000 * self._steering.behind_within_s
        if fresh and any(self._audiences.generation(name) < said for name, said in state.said.items()):
            known = [name for name in state.order if name in default]
            order = list(dict.fromkeys([*known, *default]))
            answer = Answer(order=order, ttl_s=min(answer.ttl_s, self._steering.suspect_ttl_s))
            after = msgspec.structs.replace(state, live=live)
        else:
            after = self._after(state, answer, live=live, remember=fresh)
        return Told(self._manifest(state, answer), answer.order, after)

    def _after(self, state: State, answer: Answer, *, live: bool, remember: bool) -> State:
        """Return the state after `answer`; it goes on telling of words that have just been taken back."""
        said = dict(answer.said)
        time_ms = answer.time_ms
        if remember:
            for name in state.said:
                if name not in said and len(said) < REMEMBERED:
                    said[name] = self._audiences.generation(name)
                    time_ms = max(time_ms, self._audiences.time_ms(name))
        return State(
            asset=state.asset,
            group=state.group,
            protocol=state.protocol,
            live=live,
            cell=state.cell,
            said=dict(sorted(said.items())),
            order=answer.order if said else [],
            time_ms=time_ms if said else 0,
        )

    def _manifest(self, state: State, answer: Answer) -> SteeringManifest:
        clones = clones_in(answer.order, self._delivery.clones, state.protocol)
        order = answer.order
        delivery = self._delivery_of(state.asset)
        if answer.max_bitrate_kbps is not None and delivery is not None and state.protocol is Protocol.HLS:
            pathways: dict[str, PathwaySettings] = self._delivery.pathways
            shed = shed_clones(answer.order, pathways, state.asset, delivery, answer.max_bitrate_kbps)
            clones = [*clones, *shed]
            order = [*(clone.id for clone in shed), *order]
        return SteeringManifest(
            version=VERSION, ttl_s=answer.ttl_s, pathway_priority=order, pathway_clones=clones
        )

    def _delivery_of(self, title: str) -> Delivery | None:
        found = self._title_of(title)
        return found.delivery if found is not None else None

    def _is_known(self, pathway: str) -> bool:
        return pathway in self._delivery.pathways or pathway in self._delivery.clones
