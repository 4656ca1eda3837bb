"""The way back: how viewers who were moved return once their incident is resolved.

They return in steps, for each who does is a test of whether the CDN holds: with nobody on it there is no sign
that it is well. The whole way is in one command, so that it goes on without anybody; the oftener an audience
has flapped, the slower it is. Nobody returns to a CDN that has no room for them.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from config.sections import PolicySettings
from models import words
from models.cdn_loads import CdnLoad
from models.surroundings import Surroundings
from topics.commands import Command, RampStep
from topics.incidents import Incident

MOST_LEANING = 2.0


def on_the_way_back(
    lease: Command, incident: Incident, at_ms: int, flaps: int, settings: PolicySettings
) -> Command:
    """Return `lease` as it goes on from `at_ms`; its id, generation and signature are still to be given."""
    dwell_ms = int(1_000 * settings.return_dwell_s * 2 ** min(flaps, settings.most_flaps))
    shares = [lease.share * share for share in settings.return_shares]
    times_ms = [at_ms + dwell_ms * (step + 1) for step in range(len(shares) + 1)]
    return msgspec.structs.replace(
        lease,
        time_ms=at_ms,
        reason=words.sentence(f"viewers return in steps: {incident.summary}"),
        evidence=[],
        alternatives=["all at once: a CDN that is well without viewers may not be with them"],
        expires_ms=times_ms[-1],
        undo="a new command",
        renews="",
        ramp=[RampStep(at_ms=at, share=share) for at, share in zip(times_ms, shares, strict=False)],
        origin_ms=None,
        signature="",
    )


def no_room_back(lease: Command, around: Surroundings, now_ms: int, settings: PolicySettings) -> str:
    """Return why those whom `lease` has moved cannot return yet, or nothing."""
    away_from = lease.away_from
    loads = around.loads(now_ms, settings)
    if away_from not in loads:
        return f"no load report of {away_from} is recent"
    load = loads[away_from]
    if load.capacity_gbps <= 0:
        return f"{away_from} has no node that is well"
    down = nodes_down(lease, around, now_ms, settings)
    if down:
        return down
    after = (load.load_gbps + _moved_gbps(lease, loads, around, settings)) / load.capacity_gbps
    if after > settings.target_max_load:
        return f"{away_from} may be at {words.percent(after)} of its capacity with everybody back"
    return ""


def nodes_down(lease: Command, around: Surroundings, now_ms: int, settings: PolicySettings) -> str:
    """Return that nodes of the CDN that was left are down still, or nothing: a few are missed by nobody."""
    return lost_to(lease.away_from, around, now_ms, settings)[1]


def lost_to(cdn: str, around: Surroundings, now_ms: int, settings: PolicySettings) -> tuple[float, str]:
    """Return which share of a CDN's capacity is down, and in words; nothing where the rest can carry it."""
    load = around.loads(now_ms, settings).get(cdn)
    if load is None:
        return 0.0, ""
    down = load.down_gbps
    whole = load.capacity_gbps + down
    if down <= (1 - settings.target_max_load) * whole:
        return 0.0, ""
    return down / whole, f"nodes of {cdn} that carry {down:.3g} Gb/s are down still"


def _moved_gbps(
    lease: Command, loads: Mapping[str, CdnLoad], around: Surroundings, settings: PolicySettings
) -> float:
    """Return the least of two bounds of what the moved carry with them.

    They are to those of their audience who stayed as their share is to the rest, and the sick CDN carries no
    fewer than those who stayed. And they are no more than their audience had on it, whose part of all viewers
    was counted: no audience leans on a CDN more than twice as much as its capacity would have it.
    """
    stayed = max(1 - lease.share, settings.control_share, 0.001)
    by_share = loads[lease.away_from].load_gbps * lease.share / stayed
    found = around.verification_of(lease.target)
    if found is None or around.pulse is None or not found.windows or around.pulse.viewers <= 0:
        return by_share
    part = min(found.moved_viewers / found.windows / around.pulse.viewers, 1.0)
    capacity = sum(load.capacity_gbps for load in loads.values())
    leaning = min(MOST_LEANING * loads[lease.away_from].capacity_gbps / capacity, 1.0)
    return min(by_share, part * leaning * sum(load.load_gbps for load in loads.values()))
