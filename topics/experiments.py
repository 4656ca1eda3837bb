"""`experiments`, `experiments.parts` and `experiment.results`: what is tried on whom, and what came of it."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import msgspec

from topics.fields import Count, Name, OptionalName, Ratio, Record, Sentence
from topics.spec import Cleanup, TopicSpec


class ExperimentStatus(StrEnum):
    """Where an experiment is in its life."""

    DRAFT = "draft"
    ACTIVE = "active"
    PAUSED = "paused"
    COMPLETED = "completed"


class Variant(msgspec.Struct, frozen=True, kw_only=True):
    """One arm: the control is the arm named by `Experiment.control`."""

    name: Name
    share: Ratio


class Experiment(Record, frozen=True, kw_only=True):
    """One experiment; `variants` share out the viewers that `traffic` admits."""

    experiment: Name
    name: OptionalName = ""
    hypothesis: Sentence = ""
    traffic: Ratio
    control: Name
    variants: Annotated[list[Variant], msgspec.Meta(min_length=2)]
    metrics: Annotated[list[Name], msgspec.Meta(min_length=1)]
    minimum_sample: Annotated[int, msgspec.Meta(ge=1_000)] = 1_000
    maximum_hours: Count = 24 * 14
    layer: OptionalName = ""
    """Experiments of one layer never share a viewer."""
    layer_start: Ratio = 0.0
    """Where the experiment's part of its layer begins: it reaches from here to `layer_start + traffic`."""
    status: ExperimentStatus = ExperimentStatus.DRAFT

    def __post_init__(self) -> None:
        names = [variant.name for variant in self.variants]
        if len(set(names)) != len(names):
            raise ValueError("variants: a name stands twice")
        if self.control not in names:
            raise ValueError(f"control {self.control!r} is not among the variants {names}")
        total = sum(variant.share for variant in self.variants)
        if abs(total - 1) > 1e-9:
            raise ValueError(f"variants: the shares add up to {total:g}, not to 1")
        if self.layer_start + self.traffic > 1 + 1e-9:
            raise ValueError(
                f"layer_start {self.layer_start:g} + traffic {self.traffic:g} is beyond 1, the layer's end"
            )


class MetricChange(msgspec.Struct, frozen=True, kw_only=True):
    """One viewer's value of one metric, before and after an action; values are whole numbers."""

    metric: Name
    before: Count | None = None
    """Absent where the viewer was not counted yet."""
    after: Count


class ExperimentPart(Record, frozen=True, kw_only=True):
    """What one action of one viewer changes in one experiment."""

    experiment: Name
    variant: Name
    control: Name
    minimum_sample: Count
    changes: list[MetricChange]


class VariantResult(msgspec.Struct, frozen=True, kw_only=True):
    """Running figures of one variant and metric."""

    variant: Name
    count: Count
    """Viewers exposed."""
    mean: float
    variance: Annotated[float, msgspec.Meta(ge=0)]
    lift: float | None = None
    """Difference of the mean to the control's; absent for the control itself."""
    lift_low: float | None = None
    lift_high: float | None = None
    """Ends of the always-valid interval of `lift`: it holds at every moment anyone looks."""
    p_value: Ratio | None = None
    """Always-valid p-value of `lift`."""
    significant: bool = False
    """The interval leaves out 0 and the experiment has its minimum sample."""


class ExperimentResult(Record, frozen=True, kw_only=True):
    """One metric of one experiment at one time."""

    experiment: Name
    metric: Name
    confidence: Ratio
    variants: list[VariantResult]


EXPERIMENTS = TopicSpec(
    name="experiments",
    key="experiment",
    value=Experiment,
    key_of=lambda experiment: experiment.experiment,
    describes="Experiments: traffic, variants, metrics, status.",
    producers=("experimenters", "playhead produce"),
    consumers=("experiments",),
    cleanup=Cleanup.COMPACT,
    partitions=1,
)

EXPERIMENT_PARTS = TopicSpec(
    name="experiments.parts",
    key="experiment",
    value=ExperimentPart,
    key_of=lambda part: part.experiment,
    describes="Changes of viewers' metrics per experiment and variant, from all partitions of viewing.",
    producers=("experiments",),
    consumers=("experiment-results",),
    retention_hours=24,
    internal=True,
)

EXPERIMENT_RESULTS = TopicSpec(
    name="experiment.results",
    key="experiment",
    value=ExperimentResult,
    key_of=lambda result: result.experiment,
    describes="Running, always-valid results per variant and metric.",
    producers=("experiment-results",),
    consumers=("experimenters", "console"),
)
