"""`chaos`: the life of a chaos experiment. The undo is written before the fault."""

from __future__ import annotations

from enum import StrEnum

from topics.fields import Cell, EpochMs, Name, OptionalName, Ratio, Record, Sentence
from topics.spec import TopicSpec


class ChaosPhase(StrEnum):
    """Where a chaos experiment is."""

    REQUESTED = "requested"
    STARTED = "started"
    ABORTED = "aborted"
    RESTORED = "restored"
    JUDGED = "judged"


class ChaosFault(StrEnum):
    """What is broken on purpose."""

    INSTANCE = "instance"
    DEGRADATION = "degradation"
    ISP_OUTAGE = "isp_outage"
    REGION_EVACUATION = "region_evacuation"
    CORRUPTION = "corruption"
    INGEST = "ingest"
    BUS = "bus"
    TELEMETRY_LOSS = "telemetry_loss"


class ChaosStep(Record, frozen=True, kw_only=True):
    """One step of one chaos experiment."""

    experiment: Name
    phase: ChaosPhase
    fault: ChaosFault
    target: Cell
    magnitude: dict[str, float] = {}
    hypothesis: Sentence = ""
    population: Ratio = 0.01
    budget_spent: Ratio | None = None
    lease_until_ms: EpochMs | None = None
    undo: list[Sentence] = []
    verdict: OptionalName = ""
    reason: Sentence = ""


CHAOS = TopicSpec(
    name="chaos",
    key="chaos experiment",
    value=ChaosStep,
    key_of=lambda step: step.experiment,
    describes="Chaos experiments: requested, started, aborted, restored, judged.",
    producers=("playhead chaos",),
    consumers=("console",),
    retention_hours=24 * 90,
)
