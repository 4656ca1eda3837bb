"""What is in force because of an incident, in words: viewers moved, bitrates capped, pipelines switched."""

from __future__ import annotations

from collections.abc import Iterable

from models import words
from topics.anomalies import AnomalyKind
from topics.incidents import Incident
from topics.ingest import PipelineSelection
from topics.steering import SteeringAnswer


def in_force(
    incident: Incident,
    answers: Iterable[SteeringAnswer],
    selections: Iterable[PipelineSelection],
    now_ms: int,
) -> list[str]:
    """Return what the actors serve because of `incident`, told in the same words while it is the same."""
    found = [
        _moved(each)
        for each in answers
        if each.incident == incident.incident
        and each.command_id
        and each.expires_ms is not None
        and each.expires_ms > now_ms
    ]
    if incident.kind is AnomalyKind.INGEST_FAILURE and incident.standby:
        found += [
            f"{each.stream} served from {each.pipeline}"
            for each in selections
            if incident.subject == words.name(f"stream={each.stream}") and each.pipeline == incident.standby
        ]
    return sorted(words.sentence(each) for each in found)


def _moved(answer: SteeringAnswer) -> str:
    said = []
    if answer.away_from:
        said.append(f"away from {answer.away_from}")
    if answer.max_bitrate_kbps is not None:
        said.append(f"at most {answer.max_bitrate_kbps:g} kb/s")
    if answer.p2p is not None:
        said.append("on peer-to-peer" if answer.p2p else "off peer-to-peer")
    return f"{words.percent(answer.share)} of {answer.audience} {' and '.join(said) or 'steered'}"
