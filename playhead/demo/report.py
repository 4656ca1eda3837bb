"""What a run has shown, as tables and as plain values."""

from __future__ import annotations

from typing import Any

import msgspec
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from playhead.demo.score import Count, Latency, Result
from playhead.render.words import figure
from topics.experiments import ExperimentResult, VariantResult
from topics.fields import cell_key


def as_json(result: Result) -> dict[str, Any]:
    """Return the result as plain values, with what follows from them."""
    told: dict[str, Any] = msgspec.to_builtins(result)
    return told | {"rate_per_s": result.rate_per_s, "lost": result.lost, "closed": result.closed}


def tables(result: Result) -> RenderableType:
    """Return the result as tables."""
    parts = (_events(result), _verdicts(result), _figures(result), _steps(result))
    return Group(*(part for table in parts for part in (Text(), table)))


def _events(result: Result) -> Table:
    table = _table("Events", "topic", "sent", "processed", "dead", "lost", "a second")
    for column in table.columns[1:]:
        column.justify = "right"
    counts = result.counts.values()
    total = Count(*(sum(getattr(each, name) for each in counts) for name in ("sent", "processed", "dead")))
    for topic, count in (*result.counts.items(), ("all", total)):
        figures = (count.sent, count.processed, count.dead, count.lost, count.sent / result.feed_s)
        table.add_row(topic, *(f"{figure:,.0f}" for figure in figures))
    return table


def _verdicts(result: Result) -> Table:
    table = _table("Labelled incidents", "channel", "recording", "people said", "Playhead said")
    for column in ("detected", "cause right", "in first 5"):
        table.add_column(column, overflow="fold")
    for verdict in result.verdicts:
        table.add_row(
            verdict.label.title,
            verdict.label.file.removesuffix(".csv"),
            " or ".join(map(cell_key, verdict.label.causes)),
            cell_key(verdict.named) if verdict.named else "",
            *map(_yes, (verdict.detected, verdict.right, verdict.among_first)),
        )
    return table


def _figures(result: Result) -> Table:
    table = _table("Measured in this run", "", "")
    table.show_header = False
    verdicts, of = result.verdicts, len(result.verdicts)
    for name, value in (
        ("labelled incidents detected", f"{sum(each.detected for each in verdicts)} of {of}"),
        ("… with the right cause first", f"{sum(each.right for each in verdicts)} of {of}"),
        ("… with it among the first five", f"{sum(each.among_first for each in verdicts)} of {of}"),
        ("other incidents of the channels", f"{result.unlabelled}"),
        ("labelled windows of the metric series found", f"{result.series_found} of {result.series_windows}"),
        ("episodes of the metric series elsewhere", f"{result.series_elsewhere}"),
        ("event to alert", _latency(result.event_to_alert)),
        ("alert to steering", _latency(result.alert_to_steering)),
        ("events a second", f"{result.rate_per_s:,.0f} for {result.feed_s:.1f} s"),
        ("beats", ", ".join(f"{count:,} {origin}" for origin, count in result.beats.items())),
        ("viewers' lists made", f"{result.lists:,}"),
        *((f"experiment, {each.metric} a viewer", _experiment(each)) for each in result.experiment),
    ):
        table.add_row(name, value)
    return table


def _steps(result: Result) -> Table:
    table = _table("The loop", "step", "seen", "what")
    for step in result.steps:
        table.add_row(step.name, _yes(step.seen), Text(step.detail))
    return table


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _yes(value: bool) -> Text:
    return Text("yes", "green") if value else Text("no", "bold red")


def _experiment(result: ExperimentResult) -> str:
    return "; ".join(_variant(each) for each in result.variants)


def _variant(variant: VariantResult) -> str:
    told = f"{variant.variant} {figure(variant.mean)} of {variant.count}"
    low, high = variant.lift_low, variant.lift_high
    if low is None or high is None:
        return told
    return f"{told}, lift from {figure(low)} to {figure(high)}"


def _latency(latency: Latency) -> str:
    if latency.p50_ms is None or latency.p99_ms is None:
        return "nothing to measure"
    return f"p50 {latency.p50_ms:,.0f} ms, p99 {latency.p99_ms:,.0f} ms ({latency.count} times)"
