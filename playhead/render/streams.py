"""Lines of what comes in, and of sums of it: samples, beats, actions, nodes, segments, reference data."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from playhead.render.words import Part, cell, dotted, duration, figure, labelled, share, signed
from topics.catalogue import Title
from topics.cdn import NodeReport
from topics.cmcd import CmcdRecord, Figures
from topics.cohorts import CohortParts, CohortWindow
from topics.encoding import EncodingJob, Ladder
from topics.experiments import Experiment, ExperimentResult, VariantResult
from topics.ingest import Segment, SegmentStatus
from topics.playback import Beat, PlayerState
from topics.policies import Policy
from topics.recommendations import Invalidation, Recommendation
from topics.spending import Spending
from topics.telemetry import Sample, series_key
from topics.telemetry_windows import SeriesWindows
from topics.viewing import ViewerAction

SHOWN_TITLES = 5
SHOWN_SERIES = 3

STATE_STYLES = {
    PlayerState.PLAYING: "green",
    PlayerState.REBUFFERING: "bold yellow",
    PlayerState.FAILED: "bold red",
}
STATUS_STYLES = {
    SegmentStatus.PUBLISHED: "green",
    SegmentStatus.MISSING: "bold red",
    SegmentStatus.DEFECTIVE: "bold yellow",
}


def _sample(record: Sample) -> list[Part]:
    return [series_key(record.service, record.metric, record.tags), (figure(record.value), "bold")]


def _series_windows(record: SeriesWindows) -> list[Part]:
    more = len(record.series) - SHOWN_SERIES
    return [
        f"window of {duration(record.window_ms)}",
        *(
            (f"{series} {figure(mean)}", "bold" if count > 1 else "")
            for series, mean, count in zip(
                record.series[:SHOWN_SERIES], record.mean, record.count, strict=False
            )
        ),
        f"and {more:,} more" if more > 0 else "",
    ]


def _beat(record: Beat) -> list[Part]:
    stalled = record.stall_ms > 0 or record.stalls > 0
    return [
        (f"{record.state.value:<11}", STATE_STYLES.get(record.state, "")),
        record.session_id,
        (f"stalled {duration(record.stall_ms)}" if stalled else "", "bold yellow"),
        (labelled("error", record.error), "bold red"),
        labelled("started in", "" if record.startup_ms is None else duration(record.startup_ms)),
        "" if record.bitrate_kbps is None else f"{record.bitrate_kbps:,} kb/s",
        labelled("buffer", "" if record.buffer_ms is None else duration(record.buffer_ms)),
        labelled("live by", "" if record.live_latency_ms is None else duration(record.live_latency_ms)),
        dotted(
            labelled("cdn", record.cdn),
            labelled("isp", record.isp),
            record.region,
            record.device,
            record.title,
            "" if record.weight == 1 else f"for {figure(record.weight)}",
        ),
    ]


def _report(record: CmcdRecord) -> list[Part]:
    keys = record.keys
    starved = bool(keys.bs) or keys.sta == "r"
    return [
        f"{record.carriage.value:<7}",
        record.session_id if record.own_session else f"({record.session_id})",
        labelled("event", keys.e or ""),
        (labelled("state", keys.sta or ""), "bold yellow" if starved else ""),
        ("starved" if keys.bs else "", "bold yellow"),
        (labelled("error", " ".join(keys.ec or ())), "bold red"),
        labelled("started in", "" if keys.msd is None else duration(keys.msd)),
        labelled("at", _figures(keys.br, "kb/s")),
        labelled("buffer", _figures(keys.bl, "ms")),
        labelled("gets", _figures(keys.mtp, "kb/s")),
        dotted(labelled("cdn", record.cdn), labelled("isp", record.isp), record.region, record.title),
        (labelled("left out", " ".join(key or "all" for key, _ in record.malformed)), "dim"),
    ]


def _figures(figures: Figures, unit: str) -> str:
    if not figures:
        return ""
    return ", ".join(f"{value:,} {unit}{kind and f' {kind}'}" for value, kind in figures)


def _action(record: ViewerAction) -> list[Part]:
    return [
        record.viewer,
        (record.action.value, "bold"),
        record.title or record.query,
        "" if record.rating is None else f"rated {figure(record.rating)}",
        "" if record.watched_ms is None else f"after {duration(record.watched_ms)}",
        dotted(record.region),
    ]


def _node(record: NodeReport) -> list[Part]:
    return [
        ("well", "green") if record.healthy else ("ILL", "bold red"),
        (record.node, "bold"),
        f"load {share(record.load)} of {figure(record.capacity_gbps)} Gb/s",
        labelled("hits", share(record.cache_hit_ratio)),
        labelled("errors", share(record.error_rate)),
        labelled("p99", "" if record.latency_p99_ms is None else duration(record.latency_p99_ms)),
        dotted(
            labelled("cdn", record.cdn), record.site, labelled("isp", record.isp), record.region, record.tier
        ),
    ]


def _segment(record: Segment) -> list[Part]:
    return [
        (record.status.value, STATUS_STYLES[record.status]),
        f"{record.stream}/{record.pipeline} #{record.sequence}",
        (record.defect, "bold yellow"),
        dotted(duration(record.duration_ms), f"{record.size_bytes:,} B"),
    ]


def _title(record: Title) -> list[Part]:
    return [
        (record.title, "bold"),
        record.name,
        "" if record.year is None else f"({record.year})",
        ("live" if record.live else "", "red"),
        dotted(*record.genres),
    ]


def _experiment(record: Experiment) -> list[Part]:
    arms = ", ".join(f"{variant.name} {share(variant.share)}" for variant in record.variants)
    return [
        (record.status.value, "bold"),
        record.experiment,
        f"{share(record.traffic)} of traffic: {arms}",
        dotted(*record.metrics, record.hypothesis),
    ]


def _policy(record: Policy) -> list[Part]:
    first = f"first {share(record.first_share)}"
    mode = "off" if not record.enabled else "dry run" if record.dry_run else "acts"
    return [
        (mode, "bold green" if mode == "acts" else "dim"),
        record.policy,
        f"may {record.allows.value} from {record.min_severity.name.lower()}, {first}",
        dotted(labelled("owner", record.owner), record.note),
    ]


def _cohort(record: CohortWindow) -> list[Part]:
    sums = record.measures
    startup_ms, bitrate_kbps = record.startup_mean_ms, record.bitrate_mean_kbps
    return [
        (cell(record.cell), "bold"),
        f"{figure(sums.viewers)} viewers",
        (labelled("stalled", share(record.stalled_ratio)), "yellow" if record.stalled_ratio else ""),
        labelled("rebuffering", share(record.rebuffering_ratio)),
        labelled("start failures", share(record.start_failure_ratio)),
        labelled("startup", "" if startup_ms is None else duration(startup_ms)),
        labelled("p95", "" if record.startup_p95_ms is None else duration(record.startup_p95_ms)),
        labelled("failed plays", share(record.playback_failure_ratio)),
        labelled("at", "" if bitrate_kbps is None else f"{figure(bitrate_kbps)} kb/s"),
        dotted(duration(record.window_ms)),
    ]


def _parts(record: CohortParts) -> list[Part]:
    return [
        f"part {record.source + 1} of {record.sources}",
        ("idle", "dim") if record.idle else f"{len(record.cells):,} cells",
        dotted(
            " x ".join(record.dimensions), labelled("folded", str(record.folded) if record.folded else "")
        ),
    ]


def _recommendation(record: Recommendation) -> list[Part]:
    first = ", ".join(suggestion.title for suggestion in record.titles[:SHOWN_TITLES])
    more = len(record.titles) - SHOWN_TITLES
    return [(record.viewer, "bold"), first, dotted(f"and {more} more" if more > 0 else "")]


def _invalidation(record: Invalidation) -> list[Part]:
    return [(record.scope.value, "bold"), record.key, dotted(record.reason)]


def _result(record: ExperimentResult) -> list[Part]:
    return [
        (record.experiment, "bold"),
        record.metric,
        *(part for variant in record.variants for part in _variant(variant)),
        dotted(f"{share(record.confidence)} confidence"),
    ]


def _variant(record: VariantResult) -> list[Part]:
    told = f"{record.variant}: {figure(record.mean)} of {record.count:,}"
    if record.lift is None:
        return [told]
    low, high = record.lift_low, record.lift_high
    interval = "" if low is None or high is None else f" ({figure(low)} to {figure(high)})"
    return [told, (f"{signed(record.lift)}{interval}", "bold green" if record.significant else "")]


def _job(record: EncodingJob) -> list[Part]:
    return [
        (record.title, "bold"),
        record.source,
        record.content_type,
        dotted(f"{len(record.shots):,} shots"),
    ]


def _ladder(record: Ladder) -> list[Part]:
    rungs = ", ".join(f"{rung.height}p {figure(rung.bitrate_kbps)} {rung.codec}" for rung in record.rungs)
    return [(record.title, "bold"), rungs, (labelled("saves", share(record.saving)), "green")]


def _spending(record: Spending) -> list[Part]:
    return [
        (record.detector, "bold"),
        f"{figure(record.spent)} false pages at most of {record.tests:,} tests",
        f"pages below p = {record.page_level:.2g}",
        f"{record.pages:,} of {record.episodes:,} episodes paged",
        dotted(
            f"{share(record.share)} of {figure(record.false_pages_per_week)} a week",
            f"{record.static_pages:,} by a bound" if record.static_pages else "",
        ),
    ]


LINES: dict[type[msgspec.Struct], Callable[[Any], list[Part]]] = {
    Sample: _sample,
    Beat: _beat,
    CmcdRecord: _report,
    ViewerAction: _action,
    NodeReport: _node,
    Segment: _segment,
    Title: _title,
    Experiment: _experiment,
    Policy: _policy,
    CohortWindow: _cohort,
    CohortParts: _parts,
    SeriesWindows: _series_windows,
    Recommendation: _recommendation,
    Invalidation: _invalidation,
    ExperimentResult: _result,
    EncodingJob: _job,
    Ladder: _ladder,
    Spending: _spending,
}
"""What is said of each kind of record."""
