"""Which CDNs have room for viewers who are moved, from the nodes' own reports.

A move is bounded from above. What an audience's share carries is not known, so it counts as that share of
everything the failing CDN carries: reports made before an earlier move then overestimate this one, and
reports made after it do too, so that no mixture of old and new reports lets a CDN be driven over its bound.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from config.sections import PolicySettings
from models import words
from topics.cdn import NodeReport
from topics.steering import SteeringAnswer


@dataclass(frozen=True, slots=True)
class CdnLoad:
    """What the healthy nodes of one CDN can carry and do."""

    cdn: str
    capacity_gbps: float
    load_gbps: float
    demand_gbps: float
    """What viewers may be asking of it: the load of healthy nodes, the whole capacity of sick ones."""
    oldest_ms: int
    """Time of its oldest report."""

    @property
    def ratio(self) -> float:
        """Load over capacity; a CDN without healthy nodes is full."""
        return self.load_gbps / self.capacity_gbps if self.capacity_gbps else 1.0


def cdn_loads(reports: Iterable[NodeReport], now_ms: int, max_age_ms: float) -> dict[str, CdnLoad]:
    """Return the load of each CDN, from reports not older than `max_age_ms`.

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
    return {cdn: _summed(cdn, of) for cdn, of in sorted(nodes.items())}


@dataclass(frozen=True, slots=True)
class Backups:
    """Where viewers can be moved, and how many of them."""

    order: list[str]
    """Least loaded first; any of them can take all that is moved."""
    share: float
    """Of the audience, at most what was wanted."""
    said: list[str]
    """What speaks for or against each CDN, in words."""


def backups(
    loads: Mapping[str, CdnLoad],
    away_from: str,
    wanted_share: float,
    max_load: float,
    answers: Iterable[SteeringAnswer],
    settings: PolicySettings,
) -> Backups:
    """Return the CDNs that can take viewers from `away_from`, none where there are none.

    Args:
        wanted_share: of the audience, to be moved.
        max_load: no CDN may be driven over this share of its capacity.
        answers: the steering in force for other audiences: its moves need room too, and what it
            leaves is no backup.
    """
    answers = [answer for answer in answers if answer.away_from]
    left = {answer.away_from for answer in answers}
    demand = loads[away_from].demand_gbps
    fits: dict[str, float] = {}
    said = []
    for cdn, load in loads.items():
        if cdn == away_from:
            continue
        about = f"{cdn} at {words.percent(load.ratio)} of {load.capacity_gbps:g} Gb/s"
        if cdn in left:
            said.append(f"{about}: viewers are being steered away from it")
            continue
        if load.ratio >= settings.backup_max_load:
            said.append(f"{about}: a backup must be below {words.percent(settings.backup_max_load)}")
            continue
        room = max_load * load.capacity_gbps - load.load_gbps - _reserved(load, loads, answers)
        fit = min(room / demand, 1.0) if demand > 0 else float(room > 0)
        if fit < settings.least_share:
            said.append(f"{about}: no room below {words.percent(max_load)}")
            continue
        said.append(f"{about}: can take {words.percent(fit)} of what {away_from} carries")
        fits[cdn] = fit
    share = min(wanted_share, max(fits.values(), default=0.0))
    order = sorted(
        (cdn for cdn, fit in fits.items() if fit >= share), key=lambda cdn: (loads[cdn].ratio, cdn)
    )
    return Backups(order, share, said)


def _reserved(load: CdnLoad, loads: Mapping[str, CdnLoad], answers: Iterable[SteeringAnswer]) -> float:
    """Return what is on its way to a CDN since its nodes last spoke, in Gb/s."""
    return sum(
        answer.share * loads[answer.away_from].demand_gbps
        for answer in answers
        if load.cdn in answer.pathway_priority[:1]
        and answer.away_from in loads
        and answer.time_ms > load.oldest_ms
    )


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
    )
