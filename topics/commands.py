"""`commands` and `outcomes`: what an actor is asked to do for a while, and what came of it.

A command is a lease: it holds until `expires_ms`, within `limits`, and says how it is undone. The same
command twice has the effect of one.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from topics.fields import (
    Cell,
    Count,
    EpochMs,
    Name,
    NonNegative,
    OptionalName,
    Positive,
    Ratio,
    Record,
    Sentence,
)
from topics.spec import TopicSpec


class CommandKind(StrEnum):
    """What is asked."""

    STEER = "steer"
    """Move a share of an audience away from a CDN."""
    SHED = "shed"
    """Lower what an audience asks for: cap the bitrate, leave peer-to-peer delivery."""
    FAIL_OVER = "fail_over"
    """Serve a live stream from another pipeline."""
    SCALE = "scale"
    BREAK = "break"
    RESUME = "resume"
    """Undo the command named by `undoes`."""
    HOLD = "hold"
    """Do nothing, since no lever fits the cause. Only outcomes say so."""


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What the actor must hold to, whatever the command asks."""

    max_share: Ratio = 1.0
    max_load: Ratio = 0.8
    """No CDN may be driven over this share of its capacity."""
    max_viewers: NonNegative | None = None


class RampStep(msgspec.Struct, frozen=True, kw_only=True):
    """One step of the way back."""

    at_ms: EpochMs
    share: Ratio


class Command(Record, frozen=True, kw_only=True):
    """One request to an actor."""

    kind: CommandKind
    target: Name
    """The audience's cell key, or the live stream."""
    generation: Count
    """Grows with each command to a target: a lower one never replaces a higher one."""
    incident: OptionalName = ""
    owner: Name
    """Who answers for it: an agent or a person."""
    reason: Sentence
    evidence: list[Sentence] = []
    alternatives: list[Sentence] = []
    """What else was thought of, and why not."""
    expires_ms: EpochMs
    limits: Limits = Limits()
    undo: Sentence = ""
    undoes: OptionalName = ""
    undoes_kind: CommandKind | None = None
    """Kind of the command that `undoes` names: each actor minds its own."""
    renews: OptionalName = ""
    """The command whose lease this one goes on with; nothing is done if that one is not in force."""
    dry_run: bool = False
    audience: Cell = {}
    away_from: OptionalName = ""
    pathway_priority: list[Name] = []
    share: Ratio = 1.0
    split: dict[str, Ratio] = {}
    """Of those moved, how much goes first to each pathway; empty: all to the first of the order."""
    demand_gbps: NonNegative | None = None
    """What the audience asked of `away_from` when it was first moved; absent: maybe all there was."""
    ramp: list[RampStep] = []
    """How viewers return by themselves: from each time on only so many stay moved."""
    max_bitrate_kbps: Positive | None = None
    p2p: bool | None = None
    pipeline: OptionalName = ""
    from_sequence: Count | None = None
    """The first segment to be served from `pipeline`; absent: the next one."""
    origin_ms: EpochMs | None = None
    signature: OptionalName = ""
    """HMAC-SHA256, in hex, of the command without it; empty where no key is set."""
    key_id: OptionalName = ""
    """Names the key of the signature, so that keys can be changed."""


class OutcomeStatus(StrEnum):
    """What became of a command."""

    APPLIED = "applied"
    REFUSED = "refused"
    EXPIRED = "expired"
    UNDONE = "undone"
    DRY_RUN = "dry_run"


class Outcome(Record, frozen=True, kw_only=True):
    """What an actor did with a command, and why; or why the policy gave none."""

    command_id: Name
    """The command, or the record that led to the decision to give none."""
    kind: CommandKind
    target: Name
    incident: OptionalName = ""
    actor: Name
    status: OutcomeStatus
    reason: Sentence
    before: Sentence = ""
    after: Sentence = ""


COMMANDS = TopicSpec(
    name="commands",
    key="target",
    value=Command,
    key_of=lambda command: command.target,
    describes="Commands to the actors: leases with reason, evidence, limits and undo.",
    producers=("policy", "operators", "cdn"),
    consumers=("cdn", "ingest"),
)

OUTCOMES = TopicSpec(
    name="outcomes",
    key="target",
    value=Outcome,
    key_of=lambda outcome: outcome.target,
    describes="What the actors did with the commands.",
    producers=("cdn", "ingest", "policy"),
    consumers=("console",),
)
