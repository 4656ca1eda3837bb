"""`policies`: what Playhead may do by itself. Without a policy that allows it, every command is a dry run."""

from __future__ import annotations

from topics.anomalies import Severity
from topics.commands import CommandKind, Limits
from topics.fields import Name, NonNegative, Positive, Ratio, Record, Sentence
from topics.spec import Cleanup, TopicSpec


class Policy(Record, frozen=True, kw_only=True):
    """Leave to use one lever, within limits."""

    policy: Name
    allows: CommandKind
    enabled: bool = True
    dry_run: bool = True
    min_severity: Severity = Severity.HIGH
    min_impact_viewers: NonNegative = 0.0
    first_share: Ratio = 0.1
    """Share of the audience moved by the first command: the canary."""
    lease_s: Positive = 300.0
    limits: Limits = Limits()
    approval_over_viewers: NonNegative | None = None
    """Beyond so many viewers a person must approve."""
    owner: Name = "policy"
    note: Sentence = ""


POLICIES = TopicSpec(
    name="policies",
    key="policy",
    value=Policy,
    key_of=lambda policy: policy.policy,
    describes="What may be done automatically, and within which limits.",
    producers=("operators", "playhead produce"),
    consumers=("policy",),
    cleanup=Cleanup.COMPACT,
    partitions=1,
)
