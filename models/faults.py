"""What kind of fault a CDN has: each kind is answered in its own way.

| kind | how it shows | how it is answered |
| --- | --- | --- |
| hardware | nodes of the CDN say so, or are silent | move what the rest cannot carry; all, if none is left |
| congestion | its nodes are well and full | move only what is too much |
| corruption | its nodes are well and see no errors, and playback fails | move the most at once |
| ISP outage | most of one provider's viewers on it, its nodes are well | move those, the most at once |
| unreachable | its nodes are well, and viewers of all kinds ail critically on it | move half at once |
| degraded | anything else, also where nobody is on another CDN to compare with | a canary first |

Where the path or the content is dead those who stay have nothing to lose, so the first step is a large one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from config.sections import PolicySettings
from models import words
from models.levers import CDN
from topics.anomalies import Severity
from topics.cdn import NodeReport
from topics.incidents import Incident

ISP, REGION = "isp", "region"
PLAYBACK_FAILURES = "playback_failure_ratio"


class FaultKind(StrEnum):
    """What kind of fault it is."""

    HARDWARE = "hardware_failure"
    CONGESTION = "congestion"
    CORRUPTION = "content_corruption"
    ISP_OUTAGE = "isp_outage"
    UNREACHABLE = "unreachable"
    DEGRADED = "degraded"


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault, and how much of its audience should be moved first."""

    kind: FaultKind
    said: str
    """What shows it, in words."""
    first_share: float


def recognise(
    incident: Incident,
    nodes: Iterable[NodeReport],
    settings: PolicySettings,
    canary_share: float,
    max_share: float,
) -> Fault:
    """Return what kind of fault `incident` is, from its cause and the reports of the CDN's nodes.

    Args:
        nodes: newest report of each node.
        canary_share: what is moved first where nothing better is known.
        max_share: what may be moved at most.
    """
    compared = CDN in incident.cause
    cause = incident.cause if compared else {**incident.cause, CDN: incident.only_cdn}
    oldest_ms = incident.time_ms - settings.max_report_age_s * 1_000
    here = [
        node
        for node in nodes
        if node.cdn == cause.get(CDN)
        and node.region in ("", cause.get(REGION, node.region))
        and node.time_ms >= oldest_ms
    ]
    hard = min(max(canary_share, settings.hard_first_share), max_share)
    known = _by_nodes(here, settings, canary_share, max_share)
    if known is not None:
        return known
    if not compared:
        said = (
            f"all of them are on {CDN} {incident.only_cdn}: whether it is that shows once some are elsewhere"
        )
        return Fault(FaultKind.DEGRADED, said, min(canary_share, max_share))
    errors = max((node.error_rate or 0.0 for node in here), default=0.0)
    fails = any(PLAYBACK_FAILURES in series for series in incident.firing)
    if here and fails and errors < settings.clean_error_rate:
        said = "playback fails on what its nodes serve without an error"
        return Fault(FaultKind.CORRUPTION, said, hard)
    if here and ISP in cause and incident.severity is Severity.CRITICAL:
        said = f"its nodes are well; {ISP} {cause[ISP]} does not reach them"
        return Fault(FaultKind.ISP_OUTAGE, said, hard)
    if here and set(cause) == {CDN} and incident.severity is Severity.CRITICAL:
        said = "its nodes are well, and viewers of all kinds ail on it: what is before them is broken"
        half = min(max(canary_share, settings.max_step_share), max_share)
        return Fault(FaultKind.UNREACHABLE, said, half)
    return Fault(FaultKind.DEGRADED, "no more is known of the fault", min(canary_share, max_share))


def _by_nodes(
    here: Sequence[NodeReport], settings: PolicySettings, canary_share: float, max_share: float
) -> Fault | None:
    """Return the fault that the nodes of a CDN tell themselves, or None."""
    capacity = sum(node.capacity_gbps for node in here)
    dead = sum(node.capacity_gbps for node in here if not node.healthy)
    if dead:
        lost = dead / capacity
        named = words.listed([node.node for node in here if not node.healthy][:5])
        said = f"{named} are down: {words.percent(lost)} of the capacity"
        first = max(canary_share, settings.hard_first_share if lost >= 1 else lost)
        return Fault(FaultKind.HARDWARE, said, min(first, max_share))
    load = sum(node.load * node.capacity_gbps for node in here) / capacity if capacity else 0.0
    if load < settings.congested_load:
        return None
    excess = max(1 - settings.target_max_load / load, settings.least_share)
    said = f"its nodes are well and at {words.percent(load)} of their capacity"
    return Fault(FaultKind.CONGESTION, said, min(excess, max_share))
