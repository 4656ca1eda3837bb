"""What a player says when it polls: the pathways it uses, and how fast they are.

HLS says the one in use; the draft shows it quoted, players send it bare. DASH says all that were measured
since the last poll, in quotes or not: it is no word on what is in use now.
"""

from __future__ import annotations

import math
from urllib.parse import parse_qsl

from models.steering_poll import Told
from models.steering_state import State
from topics.fields import derive_id
from topics.steering_polls import SteeringPoll

MOST_PATHWAYS = 8
MOST_CHARACTERS = 64


def said_in(query: str) -> tuple[list[str], float | None]:
    """Return the pathways that a query names, and the first one's throughput in kb/s.

    >>> said_in("_HLS_pathway=cdn-a&_HLS_throughput=58179390")
    (['cdn-a'], 58179.39)
    >>> said_in("_DASH_pathway=%22cdn-a%2Ccdn-b%22&_DASH_throughput=454076000%2C")
    (['cdn-a', 'cdn-b'], 454076.0)
    >>> said_in("_HLS_throughput=fast")
    ([], None)
    """
    said = dict(parse_qsl(query))
    named = (said.get("_HLS_pathway") or said.get("_DASH_pathway") or "").strip('"')
    pathways = [each.strip()[:MOST_CHARACTERS] for each in named.split(",") if each.strip()]
    speeds = (said.get("_HLS_throughput") or said.get("_DASH_throughput") or "").strip('"')
    return pathways[:MOST_PATHWAYS], _kbps(speeds.partition(",")[0])


def poll_record(state: State, told: Told, query: str, now_ms: int, weight: float) -> SteeringPoll:
    """Return the record of one poll of a player that came with `state` and was answered `told`.

    A clone counts as the pathway it is of: a player that was told of it and uses it has followed.
    """
    pathways, throughput_kbps = said_in(query)
    followed = None
    if pathways and state.order:
        bases = {clone.id: clone.base_id for clone in told.manifest.pathway_clones}
        followed = state.order[0] in {bases.get(each, each) for each in pathways}
    return SteeringPoll(
        id=derive_id("poll", state.asset, state.group, sorted(state.cell.items()), pathways, now_ms),
        time_ms=now_ms,
        title=state.asset,
        group=state.group,
        cell=state.cell,
        protocol=state.protocol,
        pathways=pathways,
        throughput_kbps=throughput_kbps,
        told=state.order,
        followed=followed,
        order=told.order,
        ttl_s=told.manifest.ttl_s,
        weight=weight,
    )


def _kbps(bits: str) -> float | None:
    try:
        found = float(bits) / 1_000
    except ValueError:
        return None
    return found if math.isfinite(found) and found >= 0 else None
