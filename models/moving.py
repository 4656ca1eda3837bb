"""How large a share of an audience a command moves, and where to: as far as the other CDNs have room."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from config.sections import PolicySettings
from models import words
from models.cdn_loads import CdnLoad, backups
from models.guards import Held
from models.levers import CDN
from models.node_health import ailing
from models.served import others
from models.surroundings import Surroundings
from topics.commands import Command
from topics.incidents import Incident


def within_room(
    command: Command,
    wanted_share: float,
    lease: Command | None,
    incident: Incident,
    loads: Mapping[str, CdnLoad],
    around: Surroundings,
    settings: PolicySettings,
) -> Command | Held:
    """Return `command` for as much of `wanted_share` as there is room for, or why nobody is moved.

    Args:
        lease: the command in force for the incident, as far as is known.
        loads: of the CDNs, from reports that are recent.
    """
    away_from = command.away_from
    if away_from not in loads:
        age = words.lasting(settings.max_report_age_s * 1_000)
        return Held(
            f"no load report of {CDN} {away_from} is younger than {age}: how much would move is unknown",
            command.kind,
        )
    command = msgspec.structs.replace(
        command, demand_gbps=_asked_gbps(lease, incident, command, loads, settings)
    )
    found = backups(
        loads,
        away_from,
        wanted_share,
        command.limits.max_load,
        others(around.answers, command.target, incident.time_ms),
        settings,
        ailing(around.incidents, command.audience, incident.incident),
        already=_taking(lease, command),
        most_gbps=command.demand_gbps,
    )
    if not found.split:
        said = "; ".join(found.said) or "no other CDN reports its load"
        return Held(f"no CDN can take viewers of {away_from}: {said}", command.kind)
    before = lease if lease is not None and _goes_on(lease, command) else None
    if before is not None and before.ramp:
        # Bad again on the way back: those who have returned go where they were a moment ago.
        return msgspec.structs.replace(
            command, share=before.share, split=before.split, pathway_priority=before.pathway_priority
        )
    if before is not None and found.share < before.share:
        return Held("more are moved already than there is room for now", command.kind, silent=True)
    return msgspec.structs.replace(
        command,
        share=found.share,
        split=found.split if len(found.split) > 1 else {},
        pathway_priority=[*found.order, away_from],  # last, for players whom nothing else serves
        alternatives=[*command.alternatives, *found.said],
    )


def _asked_gbps(
    lease: Command | None,
    incident: Incident,
    command: Command,
    loads: Mapping[str, CdnLoad],
    settings: PolicySettings,
) -> float | None:
    """Return what the audience asks of the CDN it leaves, or None where its viewers were not counted."""
    if lease is not None and lease.target == command.target and lease.away_from == command.away_from:
        return lease.demand_gbps  # some have left since: what they asked for then is the bound
    cause = incident.causes[0] if incident.causes else None
    if cause is None or not cause.of_cdn or cause.cell.get(CDN) != command.away_from:
        return None
    # Nobody is addressed by the bitrate of the moment: an audience may be wider than the cell counted.
    if not cause.cell.items() - {(CDN, command.away_from)} <= command.audience.items():
        return None
    return min(settings.viewer_load_margin * cause.of_cdn, 1.0) * loads[command.away_from].demand_gbps


def _taking(lease: Command | None, command: Command) -> list[str]:
    """Return the CDNs that take viewers of the audience by the lease in force."""
    if lease is None or not _goes_on(lease, command):
        return []
    return list(lease.split) or lease.pathway_priority[:1]


def _goes_on(lease: Command, command: Command) -> bool:
    """Whether `lease` still holds for the audience of `command`."""
    return lease.target == command.target and command.time_ms < lease.expires_ms
