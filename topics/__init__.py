"""Contracts: one module per stream, with the topic's name, key, partitions, retention and record types."""

from __future__ import annotations

from topics.anomalies import ANOMALIES
from topics.catalogue import CATALOGUE
from topics.cdn import CDN_NODES
from topics.chaos import CHAOS
from topics.cohorts import COHORT_PARTS, COHORTS
from topics.commands import COMMANDS, OUTCOMES
from topics.dead_letters import DEAD_LETTERS
from topics.encoding import ENCODING_JOBS, ENCODING_LADDERS
from topics.errors import ContractError, PlayheadError
from topics.experiments import EXPERIMENT_PARTS, EXPERIMENT_RESULTS, EXPERIMENTS
from topics.incidents import INCIDENTS
from topics.ingest import SEGMENTS, SELECTION
from topics.lane_state import LANE_STATE
from topics.operator import OPERATOR_ACTIONS
from topics.playback import PLAYBACK
from topics.policies import POLICIES
from topics.popularity import POPULARITY
from topics.recommendations import INVALIDATIONS, RECOMMENDATIONS
from topics.spec import ENCODING_HEADER, PACKED, AnySpec, Cleanup, TopicSpec
from topics.steering import STEERING
from topics.telemetry import TELEMETRY
from topics.viewing import VIEWING

ALL: tuple[AnySpec, ...] = (
    TELEMETRY,
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
    INCIDENTS,
    COMMANDS,
    OUTCOMES,
    STEERING,
    SELECTION,
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
    "COHORTS",
    "COHORT_PARTS",
    "COMMANDS",
    "DEAD_LETTERS",
    "ENCODING_HEADER",
    "ENCODING_JOBS",
    "ENCODING_LADDERS",
    "EXPERIMENTS",
    "EXPERIMENT_PARTS",
    "EXPERIMENT_RESULTS",
    "INCIDENTS",
    "INVALIDATIONS",
    "LANE_STATE",
    "OPERATOR_ACTIONS",
    "OUTCOMES",
    "PACKED",
    "PLAYBACK",
    "POLICIES",
    "POPULARITY",
    "RECOMMENDATIONS",
    "SEGMENTS",
    "SELECTION",
    "STEERING",
    "TELEMETRY",
    "VIEWING",
    "AnySpec",
    "Cleanup",
    "ContractError",
    "PlayheadError",
    "TopicSpec",
]
