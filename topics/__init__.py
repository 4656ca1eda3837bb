"""Contracts: one module per stream, with the topic's name, key, partitions, retention and record types."""

from __future__ import annotations

from topics.anomalies import ANOMALIES
from topics.catalogue import CATALOGUE
from topics.cdn import CDN_NODES
from topics.chaos import CHAOS
from topics.cmcd import CMCD
from topics.cohorts import COHORT_PARTS, COHORTS
from topics.commands import COMMANDS, OUTCOMES
from topics.controls import CONTROLS
from topics.dead_letters import DEAD_LETTERS
from topics.deliveries import DELIVERIES
from topics.encoding import ENCODING_JOBS, ENCODING_LADDERS
from topics.errors import ContractError, PlayheadError
from topics.experiments import EXPERIMENT_PARTS, EXPERIMENT_RESULTS, EXPERIMENTS
from topics.incident_notes import INCIDENT_NOTES
from topics.incidents import INCIDENTS
from topics.ingest import SEGMENTS, SELECTION
from topics.lane_state import LANE_STATE
from topics.operator import OPERATOR_ACTIONS
from topics.placements import PLACEMENTS
from topics.playback import PLAYBACK
from topics.policies import POLICIES
from topics.popularity import POPULARITY
from topics.recommendations import INVALIDATIONS, RECOMMENDATIONS
from topics.silences import SILENCES
from topics.spec import ENCODING_HEADER, PACKED, AnySpec, Cleanup, TopicSpec
from topics.spending import SPENDING
from topics.steering import STEERING
from topics.steering_polls import STEERING_POLLS
from topics.telemetry import TELEMETRY
from topics.telemetry_windows import TELEMETRY_WINDOWS
from topics.verifications import PULSE, VERIFICATIONS
from topics.viewing import VIEWING

ALL: tuple[AnySpec, ...] = (
    TELEMETRY,
    TELEMETRY_WINDOWS,
    CMCD,
    PLAYBACK,
    VIEWING,
    CDN_NODES,
    SEGMENTS,
    CATALOGUE,
    EXPERIMENTS,
    POLICIES,
    COHORT_PARTS,
    COHORTS,
    ANOMALIES,
    SPENDING,
    SILENCES,
    INCIDENT_NOTES,
    INCIDENTS,
    DELIVERIES,
    COMMANDS,
    OUTCOMES,
    STEERING,
    STEERING_POLLS,
    SELECTION,
    PLACEMENTS,
    VERIFICATIONS,
    PULSE,
    CONTROLS,
    OPERATOR_ACTIONS,
    CHAOS,
    RECOMMENDATIONS,
    INVALIDATIONS,
    POPULARITY,
    EXPERIMENT_PARTS,
    EXPERIMENT_RESULTS,
    ENCODING_JOBS,
    ENCODING_LADDERS,
    DEAD_LETTERS,
    LANE_STATE,
)
"""Every topic, in the order data meets them."""

BY_NAME: dict[str, AnySpec] = {spec.name: spec for spec in ALL}

__all__ = [
    "ALL",
    "ANOMALIES",
    "BY_NAME",
    "CATALOGUE",
    "CDN_NODES",
    "CHAOS",
    "CMCD",
    "COHORTS",
    "COHORT_PARTS",
    "COMMANDS",
    "CONTROLS",
    "DEAD_LETTERS",
    "DELIVERIES",
    "ENCODING_HEADER",
    "ENCODING_JOBS",
    "ENCODING_LADDERS",
    "EXPERIMENTS",
    "EXPERIMENT_PARTS",
    "EXPERIMENT_RESULTS",
    "INCIDENTS",
    "INCIDENT_NOTES",
    "INVALIDATIONS",
    "LANE_STATE",
    "OPERATOR_ACTIONS",
    "OUTCOMES",
    "PACKED",
    "PLACEMENTS",
    "PLAYBACK",
    "POLICIES",
    "POPULARITY",
    "PULSE",
    "RECOMMENDATIONS",
    "SEGMENTS",
    "SELECTION",
    "SILENCES",
    "SPENDING",
    "STEERING",
    "STEERING_POLLS",
    "TELEMETRY",
    "TELEMETRY_WINDOWS",
    "VERIFICATIONS",
    "VIEWING",
    "AnySpec",
    "Cleanup",
    "ContractError",
    "PlayheadError",
    "TopicSpec",
]
