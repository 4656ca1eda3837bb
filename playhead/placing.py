"""Where titles should be kept, from what was played and from what the nodes of each site report."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from config.sections import PlacementSettings, RoutingSettings
from models.placement import Placement
from topics.cdn import NodeReport
from topics.fields import derive_id
from topics.placements import SiteFill, TitlePlacement
from topics.viewing import Action, ViewerAction

Floats = NDArray[np.float64]
EVERYWHERE = ""
HOURS = 24


def plan(
    reports: Iterable[NodeReport],
    actions: Iterable[ViewerAction],
    before: Mapping[str, TitlePlacement],
    time_ms: int,
    settings: PlacementSettings,
    routing: RoutingSettings,
) -> list[TitlePlacement]:
    """Return the placements that differ from `before`, the most played first.

    Args:
        reports: of cache nodes that name their site; the newest of a node tells its load, all of them
            tell at which hours a site is quiet.
        actions: what was played, with the viewers' regions. Plays of a region count at its sites, plays
            from elsewhere at every site.
        before: where titles are kept now; a title nobody plays any longer stays where it is.
        time_ms: event time of the plan.
    """
    reports = [report for report in reports if report.site]
    plays = _plays(actions)
    if not reports or not plays:
        return []
    sites = sorted({report.site for report in reports})
    titles = sorted(plays, key=lambda title: (-plays[title].total(), title))
    newest = _newest(reports)
    demand = _demand(titles, sites, plays, newest)
    placement = Placement(settings)
    headroom, nearness = _headroom(sites, newest, routing), _nearness(sites, newest)
    wanted = placement.sites(demand, headroom, nearness)
    at = {site: number for number, site in enumerate(sites)}
    held = [
        {at[site] for site in before[title].sites if site in at} if title in before else set()
        for title in titles
    ]
    fills: dict[str, list[SiteFill]] = defaultdict(list)
    for fill in placement.fills(titles, sites, wanted, held, _load_by_hour(sites, reports)):
        fills[fill.title].append(SiteFill(site=fill.site, at_hour=fill.at_hour))
    scores = placement.scores(demand, headroom, nearness)
    planned = []
    for row, title in enumerate(titles):
        chosen = [sites[site] for site in wanted[row].tolist()]
        old = before[title].sites if title in before else []
        if set(chosen) == set(old):
            continue
        count = plays[title].total()
        planned.append(
            TitlePlacement(
                id=derive_id("placement", title, time_ms),
                time_ms=time_ms,
                title=title,
                sites=chosen,
                fills=fills[title],
                drops=[site for site in old if site not in chosen],
                plays=count,
                best_score=min(float(scores[row].max()), 1.0),
                reason=f"{count:,} plays: {len(chosen)} sites",
            )
        )
    return planned


def _plays(actions: Iterable[ViewerAction]) -> dict[str, Counter[str]]:
    """Return how often each title was played in each region."""
    plays: dict[str, Counter[str]] = {}
    for action in actions:
        if action.action is Action.PLAY and action.title:
            plays.setdefault(action.title, Counter())[action.region] += 1
    return plays


def _newest(reports: Iterable[NodeReport]) -> dict[str, list[NodeReport]]:
    """Return the newest report of each node, by site."""
    nodes: dict[str, NodeReport] = {}
    for report in reports:
        if report.node not in nodes or report.time_ms >= nodes[report.node].time_ms:
            nodes[report.node] = report
    by_site: dict[str, list[NodeReport]] = defaultdict(list)
    for node in nodes.values():
        by_site[node.site].append(node)
    return by_site


def _demand(
    titles: Sequence[str],
    sites: Sequence[str],
    plays: Mapping[str, Counter[str]],
    newest: Mapping[str, Sequence[NodeReport]],
) -> Floats:
    region_of = {
        site: next((node.region for node in newest[site] if node.region), EVERYWHERE) for site in sites
    }
    in_region = Counter(region_of.values())
    demand = np.zeros((len(titles), len(sites)))
    for row, title in enumerate(titles):
        known = {region: count for region, count in plays[title].items() if region and region in in_region}
        elsewhere = plays[title].total() - sum(known.values())
        for column, site in enumerate(sites):
            region = region_of[site]
            demand[row, column] = elsewhere / len(sites) + known.get(region, 0) / in_region[region]
    return demand


def _headroom(
    sites: Sequence[str], newest: Mapping[str, Sequence[NodeReport]], routing: RoutingSettings
) -> Floats:
    """Return the free share of what each site may be driven to; none where no node is well."""
    free = np.zeros(len(sites))
    for column, site in enumerate(sites):
        well = [node for node in newest[site] if node.healthy]
        capacity = sum(node.capacity_gbps for node in well)
        if capacity > 0:
            load = sum(node.load * node.capacity_gbps for node in well) / capacity
            free[column] = max(1 - load / routing.target_max_load, 0.0)
    return free


def _nearness(sites: Sequence[str], newest: Mapping[str, Sequence[NodeReport]]) -> Floats:
    """Return 1 for the site that answers soonest, 0 for the slowest; 1 where it is not told."""
    soon = [
        [node.latency_p99_ms for node in newest[site] if node.latency_p99_ms is not None] for site in sites
    ]
    slow_ms = np.array([float(np.mean(each)) if each else np.nan for each in soon])
    if np.isnan(slow_ms).all():
        return np.ones(len(sites))
    low, high = np.nanmin(slow_ms), np.nanmax(slow_ms)
    near = np.ones(len(sites)) if high <= low else 1 - (slow_ms - low) / (high - low)
    return np.where(np.isnan(slow_ms), 1.0, near)


def _load_by_hour(sites: Sequence[str], reports: Iterable[NodeReport]) -> Floats:
    """Return the mean load of each site by hour of the day (UTC); hours not seen count as the busiest."""
    at = {site: number for number, site in enumerate(sites)}
    sums, counts = np.zeros((len(sites), HOURS)), np.zeros((len(sites), HOURS))
    for report in reports:
        hour = datetime.fromtimestamp(report.time_ms / 1_000, UTC).hour
        sums[at[report.site], hour] += report.load
        counts[at[report.site], hour] += 1
    return np.where(counts > 0, sums / np.maximum(counts, 1), 1.0 + 1e-9)
