"""Which CDNs have room for viewers who are moved, from the nodes' own reports.

A move is bounded from above. An audience's share counts as that share of what its viewers ask of the failing
CDN when they are first moved, and where they were not counted, of everything that CDN carries: reports made
before an earlier move then overestimate this one, and reports made after it do too, so that no mixture of old
and new reports lets a CDN be driven over its bound.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace

from config.sections import PolicySettings
from models import words
from models.sharing import Vessel, water_fill
from topics.cdn import NodeReport
from topics.steering import SteeringAnswer
from topics.verifications import Pulse


@dataclass(frozen=True, slots=True)
class CdnLoad:
    """What the healthy nodes of one CDN can carry and do."""

    cdn: str
    capacity_gbps: float
    load_gbps: float
    demand_gbps: float
    """What its viewers may bring with them when they leave: the load of healthy nodes, and of sick ones the
    whole capacity, or less where viewers were counted."""
    oldest_ms: int
    """Time of its oldest report."""
    down_gbps: float = 0.0
    """Capacity of the nodes that are down."""
    committed_gbps: float = 0.0
    cost_per_gb: float = 0.0

    @property
    def ratio(self) -> float:
        """Load over capacity; a CDN without healthy nodes is full."""
        return self.load_gbps / self.capacity_gbps if self.capacity_gbps else 1.0


def cdn_loads(
    reports: Iterable[NodeReport],
    now_ms: int,
    max_age_ms: float,
    pulse: Pulse | None = None,
    viewer_load_margin: float = 1.0,
) -> dict[str, CdnLoad]:
    """Return the load of each CDN, from reports not older than `max_age_ms`.

    Args:
        pulse: where viewers are. Those who have left a sick CDN by themselves are on the others already, and
            bring nothing with them any more.
        viewer_load_margin: a viewer of a sick CDN may ask for so many times what one of the others asks for.

    >>> report = NodeReport(time_ms=0, node="n1", cdn="5", capacity_gbps=100, load=0.4)
    >>> cdn_loads([report], 1_000, 60_000)["5"].ratio
    0.4
    >>> cdn_loads([report], 61_000, 60_000)
    {}
    """
    nodes: dict[str, list[NodeReport]] = {}
    for report in reports:
        if now_ms - report.time_ms <= max_age_ms:
            nodes.setdefault(report.cdn, []).append(report)
    loads = {cdn: _summed(cdn, of) for cdn, of in sorted(nodes.items())}
    if pulse is None or now_ms - pulse.window_end_ms > max_age_ms:
        return loads
    return {cdn: _counted(load, loads, pulse, viewer_load_margin) for cdn, load in loads.items()}


@dataclass(frozen=True, slots=True)
class Backups:
    """Where viewers can be moved, and how many of them."""

    split: dict[str, float]
    """Of those moved, how much goes to each CDN, the most first; empty where none has room."""
    share: float
    """Of the audience, at most what was wanted."""
    order: list[str]
    """Those that take some, the most first, then those that could, for players whom the first fail."""
    said: list[str]
    """What speaks for or against each CDN, in words."""


def backups(
    loads: Mapping[str, CdnLoad],
    away_from: str,
    wanted_share: float,
    max_load: float,
    answers: Iterable[SteeringAnswer],
    settings: PolicySettings,
    ill: Mapping[str, str] | None = None,
    already: Collection[str] = (),
    most_gbps: float | None = None,
) -> Backups:
    """Return the CDNs that can take viewers from `away_from`, and how they share them; none without room.

    Args:
        wanted_share: of the audience, to be moved.
        max_load: no CDN may be driven over this share of its capacity.
        answers: the steering in force for other audiences: its moves need room too, and what it
            leaves is no backup.
        ill: CDNs that viewers ail on, with what they see: no backups, whatever their nodes say.
        already: CDNs that take viewers of this audience now. They have begun below the load at which a
            backup may begin, and may be driven up to `max_load`.
        most_gbps: what the audience asks of `away_from`, where that is known; else it may be all there is.
    """
    answers = [answer for answer in answers if answer.away_from]
    left = {answer.away_from for answer in answers}
    oldest_ms = min(load.oldest_ms for load in loads.values())
    lately = [answer for answer in answers if arrived_ms(answer) > oldest_ms]
    demand = _asked_gbps(loads[away_from], most_gbps)
    vessels: dict[str, Vessel] = {}
    fits: dict[str, float] = {}
    said = []
    for cdn, load in loads.items():
        if cdn == away_from:
            continue
        about = f"{cdn} at {words.percent(load.ratio)} of {load.capacity_gbps:g} Gb/s"
        if cdn in left:
            said.append(f"{about}: viewers are being steered away from it")
            continue
        if ill and cdn in ill:
            said.append(f"{about}: {ill[cdn]}")
            continue
        if load.ratio >= settings.backup_max_load and cdn not in already:
            said.append(f"{about}: a backup must be below {words.percent(settings.backup_max_load)}")
            continue
        promised = load.load_gbps + _reserved(load, loads, lately)
        room = max_load * load.capacity_gbps - promised
        fit = min(room / demand, 1.0) if demand > 0 else float(room > 0)
        if fit < settings.least_share:
            said.append(f"{about}: no room below {words.percent(max_load)}")
            continue
        said.append(f"{about}: can take {words.percent(fit)} of what they ask of {away_from}")
        fits[cdn] = fit
        vessels[cdn] = Vessel(load.capacity_gbps, promised, load.committed_gbps, load.cost_per_gb)
    emptiest = sorted(vessels, key=lambda cdn: (loads[cdn].ratio, cdn))
    if demand <= 0:
        first = dict.fromkeys(emptiest[:1], 1.0)
        return Backups(first, wanted_share if first else 0.0, emptiest, said)
    taken = water_fill(wanted_share * demand, vessels, max_load)
    total = sum(taken.values())
    if total < settings.least_share * demand:
        return Backups({}, 0.0, [], said)
    by_most = sorted((cdn for cdn in taken if taken[cdn] > 0), key=lambda cdn: (-taken[cdn], cdn))
    share = min(wanted_share, total / demand)
    return Backups(
        split={cdn: taken[cdn] / total for cdn in by_most},
        share=share,
        order=[*by_most, *(cdn for cdn in emptiest if cdn not in by_most and fits[cdn] >= share)],
        said=said,
    )


def _reserved(load: CdnLoad, loads: Mapping[str, CdnLoad], answers: Iterable[SteeringAnswer]) -> float:
    """Return what is on its way to a CDN since its nodes last spoke, in Gb/s: some may show, or none."""
    return sum(
        answer.share * part_of(answer, load.cdn) * _asked_gbps(loads[answer.away_from], answer.demand_gbps)
        for answer in answers
        if answer.away_from in loads and arrived_ms(answer) > load.oldest_ms
    )


def arrived_ms(answer: SteeringAnswer) -> float:
    """Return when all whom an answer moves have arrived: they ask within a TTL, and come within another."""
    return answer.time_ms + 2_000 * answer.ttl_s


def _asked_gbps(load: CdnLoad, most_gbps: float | None) -> float:
    return load.demand_gbps if most_gbps is None else min(most_gbps, load.demand_gbps)


def part_of(answer: SteeringAnswer, cdn: str) -> float:
    """Return which part of those an answer moves goes to `cdn` first."""
    return answer.split.get(cdn, 0.0) if answer.split else float(answer.pathway_priority[:1] == [cdn])


def _summed(cdn: str, nodes: list[NodeReport]) -> CdnLoad:
    healthy = [node for node in nodes if node.healthy]
    load = sum(node.load * node.capacity_gbps for node in healthy)
    sick = sum(node.capacity_gbps for node in nodes if not node.healthy)
    return CdnLoad(
        cdn=cdn,
        capacity_gbps=sum(node.capacity_gbps for node in healthy),
        load_gbps=load,
        demand_gbps=load + sick,
        oldest_ms=min(node.time_ms for node in nodes),
        down_gbps=sick,
        committed_gbps=sum(node.committed_gbps for node in nodes),
        cost_per_gb=max(node.cost_per_gb for node in nodes),
    )


def _counted(load: CdnLoad, loads: Mapping[str, CdnLoad], pulse: Pulse, margin: float) -> CdnLoad:
    """Return `load` with what its viewers ask for, where that is known to be less than its nodes could carry.

    They ask for what viewers of the other CDNs do, whose load is known. Only a count taken before those nodes
    spoke is a bound: who has left since is then in their load.
    """
    others = [each for cdn, each in loads.items() if cdn != load.cdn and each.capacity_gbps > 0]
    viewers = sum(pulse.viewers_by_cdn.get(each.cdn, 0.0) for each in others)
    if viewers <= 0 or pulse.window_end_ms > min(each.oldest_ms for each in others):
        return load
    each_gbps = margin * sum(other.load_gbps for other in others) / viewers
    asked_gbps = max(pulse.viewers_by_cdn.get(load.cdn, 0.0) * each_gbps, load.load_gbps)
    return replace(load, demand_gbps=min(load.demand_gbps, asked_gbps))
