"""The ledger of a live stream's segments: which pipeline fails, and which can take over.

Each pipeline moves along these arrows: fail fast, recover slowly::

    healthy ─▶ degraded ─▶ failed ─▶ recovering ─▶ healthy
       ▲  └───────┼──────────▲ ▲          │
       └──────────┘            └──────────┘

There is no clock here: a segment is missing when it is reported so, or when a twin has spoken of it and of
the next one. A late segment repairs what was held to be missing.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from config.sections import SegmentSettings
from models.segment_alerts import Moment, pipeline_anomaly, shared_anomaly
from models.segment_verdicts import (
    GOOD,
    MISSING,
    Standing,
    better,
    known,
    served_run,
    shared_run,
    standing,
    verdicts,
)
from topics import ANOMALIES, SEGMENTS
from topics.anomalies import Anomaly, Phase
from topics.emission import Emission
from topics.errors import ContractError
from topics.ingest import Segment, SegmentStatus

TIMELINE = "timeline"
UNNAMED_DEFECT = "defect"


class PipelineState(StrEnum):
    """How a pipeline is."""

    HEALTHY = "healthy"
    DEGRADED = "degraded"
    FAILED = "failed"
    RECOVERING = "recovering"


STANDBY_ORDER = (PipelineState.HEALTHY, PipelineState.DEGRADED, PipelineState.RECOVERING)


class Pipeline(msgspec.Struct, frozen=True):
    """What is known of one pipeline."""

    joined: int
    """Its first segment."""
    reports: dict[int, str] = {}
    state: PipelineState = PipelineState.HEALTHY
    counted_from: int = 0
    """Segments before it are settled: they made a failure that is over."""
    bad_at: int = -1
    """The newest segment that speaks against it since it failed; only later ones can show that it is well."""
    failures_ms: list[int] = []
    standby: str = ""
    """Who was said to be able to take over."""
    stray: int | None = None
    """The newest number it gave on another timeline."""

    @property
    def in_trouble(self) -> bool:
        """Whether its failure was told and its end was not."""
        return self.state in {PipelineState.FAILED, PipelineState.RECOVERING}


class Ledger(msgspec.Struct, frozen=True):
    """What is known of one live stream."""

    pipelines: dict[str, Pipeline] = {}
    time_ms: int = 0
    nobody_since: int | None = None
    """The newest segment when all pipelines were found to be bad; absent while one of them is good."""

    @property
    def head(self) -> int | None:
        """The newest segment anyone has spoken of."""
        return max((max(each.reports) for each in self.pipelines.values() if each.reports), default=None)


class SegmentLedger:
    """Folds the segments of each live stream into its ledger.

    Args:
        settings: what makes a failure, what ends it, and how much is remembered.

    Example:
        >>> from config import load
        >>> def told(sequence, pipeline, status="published"):
        ...     return Segment(time_ms=2_000 * sequence, stream="final", pipeline=pipeline,
        ...                    sequence=sequence, duration_ms=2_000, status=SegmentStatus(status))
        >>> model, ledger = SegmentLedger(load({}).settings.segments), None
        >>> for sequence in range(10):
        ...     ledger, _ = model.step(ledger, told(sequence, "B"))
        ...     status = "published" if sequence < 8 else "missing"
        ...     ledger, emissions = model.step(ledger, told(sequence, "A", status))
        >>> emissions[0].record.detail
        'pipeline A misses 2 segments in a row, B has them'
        >>> emissions[0].record.standby, emissions[0].record.from_sequence
        ('B', 10)
    """

    def __init__(self, settings: SegmentSettings) -> None:
        self._settings = settings

    def step(self, state: Ledger | None, segment: Segment) -> tuple[Ledger, list[Emission]]:
        """Return what is known after `segment`, and the anomalies that begin, change or end.

        Raises:
            ContractError: the stream would have more pipelines than the settings allow.
        """
        before = state or Ledger()
        ledger = self._entered(before, segment)
        if ledger is before:
            return before, []
        ledger = msgspec.structs.replace(ledger, time_ms=max(before.time_ms, segment.time_ms))
        return self._judged(ledger, segment.stream)

    # -- entering a report --------------------------------------------------------------------------------

    def _entered(self, ledger: Ledger, segment: Segment) -> Ledger:
        """Return the ledger with the report of `segment`, or `ledger` itself where it says nothing new."""
        pipeline = ledger.pipelines.get(segment.pipeline)
        if pipeline is None and len(ledger.pipelines) >= self._settings.max_pipelines:
            raise ContractError(
                SEGMENTS.name,
                f"stream {segment.stream!r} has {len(ledger.pipelines)} pipelines already; "
                f"{segment.pipeline!r} is one more than [segments] max_pipelines allows",
            )
        head = ledger.head
        if head is not None and self._is_far(segment, head, ledger.time_ms):
            remembered_ms = self._settings.window_segments * segment.duration_ms
            if segment.time_ms < ledger.time_ms - remembered_ms / 2:
                return ledger  # long past, and told again
            return self._strayed(ledger, segment, head)
        pipeline = pipeline or Pipeline(joined=segment.sequence)
        report = better(pipeline.reports.get(segment.sequence), _report(segment))
        if pipeline.reports.get(segment.sequence) == report and pipeline.stray is None:
            return ledger
        pipeline = msgspec.structs.replace(
            pipeline,
            joined=min(pipeline.joined, segment.sequence),
            reports={**pipeline.reports, segment.sequence: report},
            stray=None,
        )
        return self._trimmed(_with(ledger, {segment.pipeline: pipeline}))

    def _is_far(self, segment: Segment, head: int, time_ms: int) -> bool:
        """Whether the segment's number is far from the newest one, beyond what the time between explains."""
        ahead = segment.sequence - head
        passed = max(segment.time_ms - time_ms, 0) / max(segment.duration_ms, 1)
        return not -self._settings.window_segments < ahead < self._settings.window_segments + passed

    def _strayed(self, ledger: Ledger, segment: Segment, head: int) -> Ledger:
        """A number far from the rest: a break of one pipeline's timeline; if all do it, a new timeline."""
        pipeline = ledger.pipelines.get(segment.pipeline) or Pipeline(joined=head)
        pipeline = msgspec.structs.replace(pipeline, stray=segment.sequence)
        pipelines = {**ledger.pipelines, segment.pipeline: pipeline}
        alive = [each for each in pipelines.values() if each.state is not PipelineState.FAILED]
        window = self._settings.window_segments
        if all(each.stray is not None and abs(each.stray - segment.sequence) < window for each in alive):
            restarted = {name: _restarted(each, segment.sequence) for name, each in pipelines.items()}
            restarted[segment.pipeline] = msgspec.structs.replace(
                restarted[segment.pipeline], reports={segment.sequence: _report(segment)}
            )
            since = None if ledger.nobody_since is None else segment.sequence - 1
            return Ledger(restarted, ledger.time_ms, since)
        due = min(max(pipeline.reports, default=head - 1) + 1, head)
        reports = {**pipeline.reports, due: TIMELINE}
        return self._trimmed(
            _with(ledger, {segment.pipeline: msgspec.structs.replace(pipeline, reports=reports)})
        )

    def _trimmed(self, ledger: Ledger) -> Ledger:
        """Forget segments that are further back than is remembered."""
        oldest = self._oldest(ledger)
        return _with(
            ledger,
            {
                name: msgspec.structs.replace(
                    each, reports={at: report for at, report in each.reports.items() if at >= oldest}
                )
                for name, each in ledger.pipelines.items()
            },
        )

    def _oldest(self, ledger: Ledger) -> int:
        return (ledger.head or 0) - self._settings.window_segments + 1

    # -- judging ------------------------------------------------------------------------------------------

    def _judged(self, ledger: Ledger, stream: str) -> tuple[Ledger, list[Emission]]:
        now = Moment(stream, ledger.time_ms, ledger.head or 0)
        joined = {name: each.joined for name, each in ledger.pipelines.items()}
        reports = {name: each.reports for name, each in ledger.pipelines.items()}
        whole = known(reports, joined, self._oldest(ledger))
        stands = {
            name: standing(verdicts(name, whole), each.counted_from)
            for name, each in ledger.pipelines.items()
        }
        after = _with(
            ledger,
            {name: self._moved(each, stands[name], ledger) for name, each in ledger.pipelines.items()},
        )
        anomalies: list[Anomaly] = []
        told = {}
        for name, pipeline in after.pipelines.items():
            standby = self._standby(name, after, stands)
            told[name] = msgspec.structs.replace(pipeline, standby=standby if pipeline.in_trouble else "")
            phase = _phase(ledger.pipelines[name], told[name])
            if phase is not None:
                anomalies.append(pipeline_anomaly(now, phase, name, told[name].standby, stands[name], whole))
        after = _with(after, told)
        nobody_since = self._nobody_since(after, whole, joined)
        if (nobody_since is None) is not (ledger.nobody_since is None):
            phase = Phase.END if nobody_since is None else Phase.START
            anomalies.append(shared_anomaly(now, phase, shared_run(whole, joined), sorted(whole)))
        after = msgspec.structs.replace(after, nobody_since=nobody_since)
        return after, [Emission(ANOMALIES, anomaly) for anomaly in anomalies]

    def _moved(self, pipeline: Pipeline, stands: Standing, ledger: Ledger) -> Pipeline:
        """Return the pipeline one arrow on, or as it was."""
        head, now_ms = ledger.head or 0, ledger.time_ms
        recent = [at for at in stands.faults if at > head - self._settings.missing_window]
        failing = (
            stands.fault_run >= self._settings.missing_fail
            or len(recent) >= self._settings.missing_in_window_fail
        )
        if pipeline.in_trouble and stands.newest_bad is not None:
            pipeline = msgspec.structs.replace(pipeline, bad_at=max(pipeline.bad_at, stands.newest_bad))
        clean = (stands.newest or 0) - pipeline.bad_at if stands.newest_is_good else 0
        match pipeline.state:
            case PipelineState.HEALTHY | PipelineState.DEGRADED if failing:
                return self._failed(pipeline, head, now_ms)
            case PipelineState.HEALTHY | PipelineState.DEGRADED:
                state = PipelineState.DEGRADED if recent else PipelineState.HEALTHY
                return msgspec.structs.replace(pipeline, state=state)
            case PipelineState.FAILED if clean > 0:
                return msgspec.structs.replace(pipeline, state=PipelineState.RECOVERING)
            case PipelineState.RECOVERING if stands.fault_run:
                return self._failed(pipeline, head, now_ms)
            case PipelineState.RECOVERING if clean >= self._clean_needed(pipeline, now_ms):
                return msgspec.structs.replace(
                    pipeline, state=PipelineState.HEALTHY, counted_from=pipeline.bad_at + 1
                )
        return pipeline

    def _failed(self, pipeline: Pipeline, head: int, now_ms: int) -> Pipeline:
        failures = [*self._recent_failures(pipeline, now_ms), now_ms]
        return msgspec.structs.replace(
            pipeline, state=PipelineState.FAILED, bad_at=head, failures_ms=failures[-self._doublings :]
        )

    def _clean_needed(self, pipeline: Pipeline, now_ms: int) -> int:
        """A pipeline that keeps failing must be clean for longer: twice as long with each failure."""
        again = max(len(self._recent_failures(pipeline, now_ms)) - 1, 0)
        return min(self._settings.recover_after << again, self._settings.recover_after_most)

    def _recent_failures(self, pipeline: Pipeline, now_ms: int) -> list[int]:
        since_ms = now_ms - self._settings.flap_window_s * 1_000
        return [at_ms for at_ms in pipeline.failures_ms if at_ms >= since_ms]

    @property
    def _doublings(self) -> int:
        """How many failures it takes until the wait grows no further."""
        return (self._settings.recover_after_most // self._settings.recover_after).bit_length() + 1

    def _standby(self, name: str, ledger: Ledger, stands: dict[str, Standing]) -> str:
        """Return who can take over from `name`: whoever was named before, unless only others can."""
        able = [
            (STANDBY_ORDER.index(each.state), len(stands[twin].faults), twin)
            for twin, each in ledger.pipelines.items()
            if twin != name and each.state in STANDBY_ORDER and stands[twin].newest_is_good
        ]
        named = ledger.pipelines[name].standby
        return named if not able or any(named == twin for _, _, twin in able) else min(able)[2]

    def _nobody_since(
        self, ledger: Ledger, whole: dict[str, dict[int, str]], joined: dict[str, int]
    ) -> int | None:
        """Return the newest segment when all pipelines turned bad, or None while one of them is good."""
        if ledger.nobody_since is None:
            return ledger.head if shared_run(whole, joined) >= self._settings.missing_fail else None
        served = served_run(whole, ledger.nobody_since)
        return None if served >= self._settings.recover_after else ledger.nobody_since


def _report(segment: Segment) -> str:
    match segment.status:
        case SegmentStatus.PUBLISHED:
            return GOOD
        case SegmentStatus.MISSING:
            return MISSING
        case SegmentStatus.DEFECTIVE:
            return segment.defect or UNNAMED_DEFECT


def _with(ledger: Ledger, pipelines: dict[str, Pipeline]) -> Ledger:
    return msgspec.structs.replace(ledger, pipelines={**ledger.pipelines, **pipelines})


def _restarted(pipeline: Pipeline, sequence: int) -> Pipeline:
    """The pipeline at the beginning of a new timeline: as it was, with nothing written yet."""
    return msgspec.structs.replace(
        pipeline,
        joined=sequence if pipeline.stray is None else min(pipeline.stray, sequence),
        reports={} if pipeline.stray is None else {pipeline.stray: GOOD},
        counted_from=0,
        bad_at=sequence - 1,
        stray=None,
    )


def _phase(before: Pipeline, after: Pipeline) -> Phase | None:
    """Return what is to be told of a pipeline, if anything."""
    if after.in_trouble and not before.in_trouble:
        return Phase.START
    if before.in_trouble and not after.in_trouble:
        return Phase.END
    if after.state is PipelineState.FAILED and after.standby not in {"", before.standby}:
        return Phase.UPDATE  # someone else can take over now
    return None
