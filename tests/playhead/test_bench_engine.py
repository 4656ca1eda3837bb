"""Contestants get the same job; their progress becomes figures, and figures documents and pictures."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from typer.testing import CliRunner

from config import load
from models.anomaly.bank import BankDetector, EpisodePhase
from models.anomaly.build import bank_figures
from playhead.bench import engine, others, report
from playhead.bench.engine import compared
from playhead.bench.engine_picture import draw
from playhead.bench.errors import BenchError, ContestantMissingError
from playhead.bench.job import BEYOND_MS, FAR_MS, Shape, limits_of, rules_of
from playhead.bench.machine import Machine
from playhead.bench.memory_results import MemoryResult
from playhead.bench.programs import one_of, split_name
from playhead.bench.recovery_results import RecoveryResult
from playhead.bench.results import EngineResult, Latency, Throughput
from playhead.bench.rules import fresh
from playhead.bench.running import measure
from playhead.bench.scaling_results import Rebalance, Scale, ScalingResult
from playhead.bench.task import Progress
from playhead.cli import app
from playhead.engine.java import kafka_version
from playhead.packing import partition_of, unpack
from topics import TELEMETRY

SETTINGS = load({}).settings
DATA = Path(__file__).parents[1] / "data" / "bench"
MACHINE = Machine(
    cores=2, cpu="a CPU", memory_gb=24.0, python="3.11.7", kafka="4.1.1", load_at_start=0.1, busy=False
)


def throughput(contestant: str, events_per_s: float, **changed: Any) -> Throughput:
    figures: dict[str, Any] = {
        "axis": "base",
        "at": "1,000 series",
        "series": 1_000,
        "partitions": 4,
        "record_bytes": 134,
        "events_per_record": 1,
        "events": 100,
        "rounds": 1,
        "lowest_per_s": events_per_s,
        "highest_per_s": events_per_s,
        "ratio_to_faust": None,
        "ratio_to_ceiling": None,
        "cpu_us_per_event": 2.0,
        "broker_cpu_us_per_event": None,
        "rss_mb": 100.0,
        "starts": 9,
        "starts_expected": 9,
        "agrees": True,
    }
    return Throughput(contestant=contestant, events_per_s=events_per_s, **figures | changed)


def engine_result() -> EngineResult:
    rows = compared(
        [throughput("lane", 400_000.0), throughput("faust", 5_000.0), throughput("ceiling", 800_000.0)]
    )
    far = compared(
        [
            throughput(
                "lane", 300_000.0, axis="series", at="10,000 series", series=10_000, agrees=False, starts=5
            )
        ]
    )
    live = Latency(
        contestant="lane",
        asked_per_s=1_000.0,
        share_of_capacity=0.0025,
        sent_per_s=999.0,
        seconds=10.0,
        alerts=1_250,
        p50_ms=12.0,
        p99_ms=31.0,
        p999_ms=None,
        caught_up_after_s=0.0,
    )
    return EngineResult(
        command="playhead bench engine",
        began="2026-06-15T08:00:00+00:00",
        seconds=61.0,
        machine=MACHINE,
        starts_tolerance=0.001,
        throughput=[*rows, *far],
        latency=[live],
        missing={"quix": "no uv"},
    )


levels = st.one_of(
    st.floats(90.0, 110.0), st.sampled_from([FAR_MS, 125.0, 2_500.0, BEYOND_MS, 0.0, -50.0, 1e9])
)


@given(st.lists(levels, max_size=40), st.integers(0, 120))
def test_the_rules_of_the_others_start_worsen_and_end_episodes_as_the_bank_does(
    values: list[float], calm: int
) -> None:
    bank = BankDetector(bank_figures(SETTINGS.detection), limits_of(SETTINGS))
    rules, state = rules_of(SETTINGS), fresh()
    phases = {EpisodePhase.STARTED: "start", EpisodePhase.WORSENED: "update", EpisodePhase.ENDED: "end"}

    for number, value in enumerate([100.0 + n % 7 for n in range(calm)] + values):
        verdict = bank.step_one(number * 1000, value)
        change = rules.step(state, value)

        assert (change.phase if change else None) == phases.get(verdict.phase)


@pytest.mark.parametrize("shape", [Shape(series=30), Shape(series=30, tags=10, tag_bytes=40)])
def test_single_records_keep_the_contract_and_carry_what_the_columns_say(shape: Shape) -> None:
    which, values = shape.columns(50, 250)

    records = list(shape.records(50, 250, 4, lambda: 1_781_481_600_000))

    for (_, key, value, count), series, number in zip(records, which.tolist(), values.tolist(), strict=True):
        sample = TELEMETRY.decode(value)
        assert (sample.value, sample.time_ms, count) == (number, 1_781_481_600_000, 1)
        assert key == TELEMETRY.key_of(sample).encode() == shape.key(series)


def test_packed_records_carry_the_events_of_single_ones_in_order_within_each_series() -> None:
    by_series: dict[str, list[float]] = defaultdict(list)
    for _, _, value, _ in Shape(series=30).records(0, 25_000, 4):
        sample = TELEMETRY.decode(value)
        by_series[TELEMETRY.key_of(sample)].append(sample.value)

    packed: dict[str, list[float]] = defaultdict(list)
    for partition, _, value, count in Shape(series=30, packed=100).records(0, 25_000, 4):
        events = unpack(TELEMETRY, value)
        assert len(events) == count <= 100
        for sample in events:
            assert partition_of(TELEMETRY.key_of(sample).encode(), 4) == partition
            packed[TELEMETRY.key_of(sample)].append(sample.value)

    assert packed == by_series


def test_both_kinds_of_anomaly_are_in_a_backlog_and_each_starts_an_episode() -> None:
    # Each series is known before its first anomaly, so that none learns one as its ordinary level.
    shape = Shape(series=10, cycle=211)
    _, values = shape.columns(0, 10_000)

    assert min((values == FAR_MS).sum(), (values == BEYOND_MS).sum()) >= 20
    assert shape.starts(SETTINGS, 10_000) == ((values == FAR_MS) | (values == BEYOND_MS)).sum()


def test_the_window_of_several_processes_is_where_all_have_work() -> None:
    # 100 events/s alone for ten seconds; the other joins at 5 and does 50/s until 15.
    early = [Progress(float(s), 100 * s, 0.1 * s, 60.0) for s in range(1, 11)]
    late = [Progress(float(s), 50 * (s - 4), 0.2 * s, 70.0) for s in range(5, 16)]

    measured = measure([early, late])

    assert measured.seconds == 5.0
    assert measured.events_per_s == pytest.approx(150.0)
    assert measured.cpu_us_per_event == pytest.approx(1e6 * 0.3 / 150.0)
    assert (measured.events, measured.rss_mb) == (1_550, 130.0)


def test_what_was_said_before_the_backlog_came_is_not_measured() -> None:
    # A thousand samples to know the series by in the first two seconds, then 200/s from second 5 on.
    known = [Progress(1.0, 500, 0.5, 50.0), Progress(2.0, 1_000, 0.6, 60.0)]
    timed = [Progress(float(s), 1_000 + 200 * (s - 5), 0.1 * s, 70.0) for s in range(6, 9)]

    measured = measure([known + timed], since_s=5.0)

    assert (measured.events, measured.seconds, measured.events_per_s) == (600, 2.0, 200.0)
    assert measured.cpu_us_per_event == pytest.approx(500.0)


def test_processes_that_never_worked_together_are_not_measured() -> None:
    first = [Progress(float(s), s, 0.0, 1.0) for s in (1, 2)]
    second = [Progress(float(s), s, 0.0, 1.0) for s in (3, 4)]

    with pytest.raises(BenchError, match="give more events"):
        measure([first, second])


@pytest.mark.parametrize(
    ("text", "found"),
    [("lane", ("lane", 1)), ("lane-2", ("lane", 2)), ("kafka-streams-4", ("kafka-streams", 4))],
)
def test_a_number_behind_a_contestant_is_its_processes(text: str, found: tuple[str, int]) -> None:
    assert split_name(text) == found


def test_a_contestant_of_which_several_processes_are_no_choice_is_refused() -> None:
    with pytest.raises(BenchError, match="its name alone, quix"):
        one_of("quix-2")


@pytest.mark.parametrize("text", ["flink", "lane-0", "-2", "lane-x"])
def test_an_unknown_contestant_is_refused_with_the_known_ones(text: str) -> None:
    with pytest.raises(BenchError, match="kafka-streams"):
        split_name(text)


def test_kafka_streams_is_of_the_version_of_kafka() -> None:
    pom = (Path(others.__file__).parent / "kafka_streams" / "pom.xml").read_text()

    assert re.findall(r"<kafka.version>(.+?)<", pom) == [kafka_version()]


def test_a_contestant_that_cannot_be_had_says_why(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PLAYHEAD_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("PATH", "")

    with pytest.raises(ContestantMissingError, match="make setup"):
        others.quix_command(lambda _: None)
    with pytest.raises(ContestantMissingError, match="Java"):
        others.kafka_streams_command(lambda _: None)


def properties(schema: Any) -> dict[str, Any]:
    """Return type of each field of each record of a JSON schema."""
    return {
        f"{name}.{field}": {key: kind[key] for key in ("type", "anyOf", "$ref", "items") if key in kind}
        for name, record in schema["$defs"].items()
        for field, kind in record.get("properties", {}).items()
    }


@pytest.mark.parametrize(
    ("name", "result"),
    [
        ("engine", EngineResult),
        ("scaling", ScalingResult),
        ("recovery", RecoveryResult),
        ("memory", MemoryResult),
    ],
)
def test_the_json_of_results_keeps_every_field_it_had(name: str, result: type) -> None:
    kept = properties(json.loads((DATA / f"{name}.schema.json").read_text()))

    now = properties(msgspec.json.schema(result))

    assert {field: now.get(field) for field in kept} == kept
    assert len(kept) > 10


def test_figures_are_put_into_a_document_and_replaced(tmp_path: Path) -> None:
    document, figures = tmp_path / "page.md", tmp_path / "run.json"
    document.write_text("# Speed\n\n<!-- figures: engine -->\nold\n<!-- end of figures -->\n\nThe end.\n")
    figures.write_bytes(msgspec.json.encode(engine_result()))

    report.write_into(document, [figures])
    once = document.read_text()
    report.write_into(document, [figures])

    assert document.read_text() == once
    assert "old" not in once
    assert once.endswith("The end.\n")
    assert "| 1,000 series | lane | 400,000 | 80 | 0.50 | 2.00 | - | 100 | 9 / 9 |" in once
    assert "5 / 9 (differs)" in once
    assert "Without quix: no uv" in once


def test_scaling_and_results_of_any_shape_become_tables(tmp_path: Path) -> None:
    document, scaling, other = tmp_path / "page.md", tmp_path / "s.json", tmp_path / "warmth.json"
    document.write_text("# Speed\n")
    scale = Scale(
        processes=2,
        partitions=4,
        events=100,
        events_per_s=500_000.0,
        ratio_to_one=1.6,
        cpu_us_per_event=2.0,
        broker_cpu_us_per_event=0.5,
        rss_mb=400.0,
    )
    moved = Rebalance(
        what="it leaves",
        rate_per_s=20_000.0,
        longest_silence_s=0.5,
        usual_silence_s=0.05,
        slowest_alert_s=0.6,
        lost=0,
    )
    result = ScalingResult(
        command="playhead bench scaling",
        began="2026-06-15T08:00:00+00:00",
        seconds=9.0,
        machine=MACHINE,
        throughput=[scale],
        rebalances=[moved],
    )
    scaling.write_bytes(msgspec.json.encode(result))
    other.write_text(json.dumps({"series": 100_000, "recovered_s": 3.25, "steps": [{"at_s": 1, "mb": 80.5}]}))

    assert report.write_into(document, [scaling, other]) == ["scaling", "warmth"]

    written = document.read_text()
    assert "| 2 | 4 | 500,000 | 1.60 | 2.00 | 0.50 | 400 |" in written
    assert "| it leaves | 20,000 | 0.50 | 0.05 | 0.60 | 0 |" in written
    assert "| 100,000 | 3.25 |" in written
    assert "| 1 | 80.5 |" in written


@pytest.mark.parametrize("content", ["no json", "[1, 2]", '{"kind": "engine"}'])
def test_a_file_without_a_result_is_named_with_what_is_wrong(tmp_path: Path, content: str) -> None:
    document, wrong = tmp_path / "page.md", tmp_path / "wrong.json"
    document.write_text("# Speed\n")
    wrong.write_text(content)

    told = CliRunner().invoke(app, ["bench", "report", str(wrong), "--into", str(document)])

    assert told.exit_code == 1
    assert "wrong.json" in told.output
    assert document.read_text() == "# Speed\n"


def test_the_picture_is_svg_with_every_contestant_and_nothing_to_fetch() -> None:
    picture = draw(engine_result())

    assert ElementTree.fromstring(picture).tag.endswith("svg")
    assert all(name in picture for name in ("lane", "faust", "ceiling", "10,000"))
    assert "http" not in picture.replace("http://www.w3.org/2000/svg", "")


def test_figures_that_are_missing_are_told_and_make_the_command_fail(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    result = replace(engine_result(), throughput=engine_result().throughput[:3])
    assert all(row.agrees for row in result.throughput)
    monkeypatch.setattr(engine, "run", lambda *_: result)
    written = tmp_path / "engine.json"

    told = CliRunner().invoke(app, ["bench", "engine", "-o", str(written)])

    assert told.exit_code == 1
    assert "without quix: no uv" in told.stderr
    assert msgspec.json.decode(written.read_bytes(), type=EngineResult) == result


def test_an_unknown_axis_is_a_usage_error_that_names_the_axes() -> None:
    told = CliRunner().invoke(app, ["bench", "engine", "--axis", "colour"])

    assert told.exit_code == 2
    assert "partitions" in told.output
