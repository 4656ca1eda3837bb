"""How traffic is shared out over CDNs: water-filling under capacity, commitment and cost.

Like water poured into vessels of different widths: every CDN is filled to the same relative level, none above
its bound. What is committed to a CDN is paid for whether used or not, so commitments are filled first; of
what remains, cheap CDNs are filled before dear ones, to one level within a price.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Vessel:
    """One CDN as it takes part."""

    capacity_gbps: float
    load_gbps: float = 0.0
    """What it carries already."""
    committed_gbps: float = 0.0
    """What is paid for anyway."""
    cost_per_gb: float = 0.0


def water_fill(demand_gbps: float, vessels: Mapping[str, Vessel], max_load: float) -> dict[str, float]:
    """Return how much of `demand_gbps` each CDN takes, in Gb/s; together less where there is no room.

    Args:
        max_load: no CDN is filled above this share of its capacity.

    >>> vessels = {"a": Vessel(100, 50), "b": Vessel(100, 10), "c": Vessel(50, 45)}
    >>> {name: round(taken, 1) for name, taken in water_fill(60, vessels, 0.8).items()}
    {'a': 10.0, 'b': 50.0, 'c': 0.0}
    >>> cheap = {"a": Vessel(100, cost_per_gb=2), "b": Vessel(100, cost_per_gb=1)}
    >>> water_fill(100, cheap, 0.8)
    {'a': 20.0, 'b': 80.0}
    """
    taken = dict.fromkeys(vessels, 0.0)
    left = max(demand_gbps, 0.0)
    committed = {
        name: min(each.committed_gbps, max_load * each.capacity_gbps) - each.load_gbps
        for name, each in vessels.items()
    }
    left -= _fill(left, vessels, {name: max(room, 0.0) for name, room in committed.items()}, taken)
    for cost in sorted({each.cost_per_gb for each in vessels.values()}):
        rooms = {
            name: max(max_load * each.capacity_gbps - each.load_gbps - taken[name], 0.0)
            for name, each in vessels.items()
            if each.cost_per_gb == cost
        }
        left -= _fill(left, vessels, rooms, taken)
    return taken


def _fill(
    demand: float, vessels: Mapping[str, Vessel], rooms: Mapping[str, float], taken: dict[str, float]
) -> float:
    """Raise all with room to one relative level by `demand` at most, and return how much was taken."""
    demand = min(demand, sum(rooms.values()))
    if demand <= 0:
        return 0.0

    def level_of(name: str) -> float:
        return (vessels[name].load_gbps + taken[name]) / vessels[name].capacity_gbps

    # Each vessel takes water between two levels: where it stands, and where its room ends.
    starts = {name: level_of(name) for name, room in rooms.items() if room > 0}
    ends = {name: starts[name] + rooms[name] / vessels[name].capacity_gbps for name in starts}
    levels = sorted({*starts.values(), *ends.values()})
    held, level = 0.0, levels[0]
    for bottom, top in itertools.pairwise(levels):
        width = sum(vessels[name].capacity_gbps for name in starts if starts[name] <= bottom < ends[name])
        if width > 0 and held + width * (top - bottom) >= demand:
            level = bottom + (demand - held) / width
            break
        held += width * (top - bottom)
        level = top
    for name, start in starts.items():
        poured = (min(max(level, start), ends[name]) - start) * vessels[name].capacity_gbps
        taken[name] += min(poured, rooms[name])
    return demand
