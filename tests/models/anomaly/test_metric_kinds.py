"""Metrics by name: kind of trouble, which way is worse, bounds in the metric's unit."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from config import ConfigError, load
from models.anomaly import build
from topics.anomalies import AnomalyKind

WATCHED = build.watched_metrics(load({}).settings.detection)


@pytest.mark.parametrize(
    ("metric", "kind", "worse"),
    [
        ("stream_start_latency", AnomalyKind.LATENCY_SPIKE, 1),
        ("buffering_ratio", AnomalyKind.STREAMING_QUALITY_DROP, 1),
        ("quality_drops", AnomalyKind.STREAMING_QUALITY_DROP, 1),
        ("concurrent_streams", AnomalyKind.TRAFFIC_ANOMALY, 0),
        ("recommendation_latency", AnomalyKind.LATENCY_SPIKE, 1),
        ("cache_hit_ratio", AnomalyKind.STREAMING_QUALITY_DROP, -1),
        ("personalisation_accuracy", AnomalyKind.STREAMING_QUALITY_DROP, -1),
        ("cdn_hit_ratio", AnomalyKind.STREAMING_QUALITY_DROP, -1),
        ("origin_requests_per_s", AnomalyKind.TRAFFIC_ANOMALY, 0),
        ("bandwidth", AnomalyKind.TRAFFIC_ANOMALY, 0),
        ("error_rate", AnomalyKind.ERROR_RATE_INCREASE, 1),
        ("Payment_Error_Rate", AnomalyKind.ERROR_RATE_INCREASE, 1),
        ("cpu_utilization", AnomalyKind.RESOURCE_EXHAUSTION, 1),
        ("memory_used", AnomalyKind.RESOURCE_EXHAUSTION, 1),
        ("something_new", AnomalyKind.TRAFFIC_ANOMALY, 0),
    ],
)
def test_every_watched_metric_has_its_kind_and_worse_side(metric: str, kind: AnomalyKind, worse: int) -> None:
    assert (WATCHED.kind_of(metric), WATCHED.limits_of(metric).worse) == (kind, worse)


def test_noise_is_converted_with_the_bounds() -> None:
    assert WATCHED.limits_of("cpu_ratio").noise == pytest.approx(WATCHED.limits_of("cpu").noise / 100)


def test_a_rate_per_second_is_not_taken_for_a_time() -> None:
    assert math.isnan(WATCHED.limits_of("origin_requests_s").warn)


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ('worse = "higher", unit = "ratio", warn = 0.1', "warn and critical come together"),
        ('worse = "higher", unit = "ratio", warn = 0.5, critical = 0.1', "is not higher"),
        ('worse = "either", unit = "ratio", warn = 0.1, critical = 0.5', "is not either"),
        ('worse = "upwards", unit = "ratio"', "'higher', 'lower' or 'either'"),
        ('worse = "higher", unit = "furlong"', "'percent'"),
    ],
)
def test_a_rule_that_makes_no_sense_is_refused_when_settings_are_read(
    tmp_path: Path, rule: str, said: str
) -> None:
    (tmp_path / "playhead.toml").write_text(
        f'[detection]\nmetrics = [{{ pattern = "x", kind = "latency_spike", {rule} }}]\n', encoding="utf-8"
    )

    with pytest.raises(ConfigError, match=said):
        load({}, tmp_path)
