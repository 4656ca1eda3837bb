"""What kills and drains of several contestants come to: who is missing, ratios, tables, pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import msgspec
import pytest
from typer.testing import CliRunner

from config import load
from playhead.bench import memory, memory_picture, recovery, recovery_picture, report
from playhead.bench.errors import BenchError
from playhead.bench.machine import Machine
from playhead.bench.memory_results import Drain, Look, MemoryResult
from playhead.bench.recovery import Word, judge
from playhead.bench.recovery_results import Recovery, RecoveryResult
from playhead.cli import app

SETTINGS = load({}).settings
MACHINE = Machine(
    cores=2, cpu="a CPU", memory_gb=24.0, python="3.11.7", kafka="4.1.1", load_at_start=0.1, busy=False
)


def kill(contestant: str, caught_up_s: float, rate_per_s: float = 20_000.0) -> Recovery:
    return Recovery(
        contestant=contestant,
        rate_per_s=rate_per_s,
        series=50_000,
        partitions=[0, 2],
        taken_over_s=6.0,
        first_output_s=6.5,
        caught_up_s=caught_up_s,
        outputs=90,
    )


def recovery_result() -> RecoveryResult:
    return RecoveryResult(
        command="playhead bench recovery",
        began="2026-06-15T08:00:00+00:00",
        seconds=61.0,
        machine=MACHINE,
        series=100_000,
        session_timeout_s=6.0,
        kills=[kill("lane", 7.0), kill("lane", 9.0), kill("faust-table", 20.0, 1_000.0)],
        missing={"quix": "nobody took over\nand a second line"},
    )


def drain(series: int, settled_mb: float) -> Drain:
    return Drain(
        events=1_000_000,
        series=series,
        seconds=2.0,
        events_per_s=500_000.0,
        started_mb=90.0,
        warm_mb=300.0,
        peak_mb=350.0,
        growth_mb=50.0,
        settled_mb=settled_mb,
        looks=[Look(0.0, 0, 90.0), Look(2.0, 1_000_000, 350.0)],
    )


def memory_result() -> MemoryResult:
    return MemoryResult(
        command="playhead bench memory",
        began="2026-06-15T08:00:00+00:00",
        seconds=61.0,
        machine=MACHINE,
        contestants=[
            memory.compared("lane", drain(10_000, 300.0), drain(100_000, 390.0)),
            memory.compared("quix", drain(10_000, 200.0), drain(100_000, 380.0)),
        ],
        missing={"faust": "it ended"},
    )


def test_nothing_new_of_the_lost_partitions_is_no_recovery() -> None:
    elsewhere, again = Word("a", 1, 9_000, 8_900), Word("b", 0, 9_000, 500)

    assert judge({"b"}, [elsewhere, again], {0}, killed_ms=1_000) is None


def test_what_one_contestant_does_not_manage_harms_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    def kills_of(_: Any, plan: Any, name: str, *__: Any) -> list[Recovery]:
        if name == "faust-table":
            raise BenchError("nobody took over")
        return [kill(name, 7.0)]

    monkeypatch.setattr(recovery, "_kills_of", kills_of)
    plan = recovery.Plan(1_000, 1_000, 1, ["lane", "faust-table", "quix"])

    result = recovery.run(SETTINGS, plan, "a test", lambda line: None, lambda: None)

    assert [each.contestant for each in result.kills] == ["lane", "quix"]
    assert result.missing == {"faust-table": "nobody took over"}


def test_a_contestant_that_does_not_drain_harms_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, int] = {}

    def drained(_: Any, name: str, shape: Any, events: int, *__: Any) -> Drain:
        asked[name] = events
        if name == "quix":
            raise BenchError("it stands still")
        return drain(shape.series, 1.0 * shape.series)

    monkeypatch.setattr(memory, "_drain", drained)
    plan = memory.Plan(1_000_000, 10_000, 100_000, 1, ["lane", "quix", "faust"])

    result = memory.run(SETTINGS, plan, "a test", lambda line: None, lambda: None)

    assert [each.contestant for each in result.contestants] == ["lane", "faust"]
    assert result.missing == {"quix": "it stands still"}
    # A slow one gets its share, but every series of the larger backlog at least once.
    assert asked == {"lane": 1_000_000, "quix": 100_000, "faust": 100_000}
    assert result.contestants[0].bytes_per_series == 1_000_000.0


def test_more_series_have_to_be_more() -> None:
    with pytest.raises(BenchError, match="more than 10,000"):
        memory.run(SETTINGS, memory.Plan(1_000, 10_000, 10_000, 1), "a test", lambda line: None, lambda: None)


def test_recovery_and_memory_become_tables_with_ratios_to_the_lane(tmp_path: Path) -> None:
    document, kills, drains = tmp_path / "page.md", tmp_path / "r.json", tmp_path / "m.json"
    document.write_text("# Speed\n")
    kills.write_bytes(msgspec.json.encode(recovery_result()))
    drains.write_bytes(msgspec.json.encode(memory_result()))

    assert report.write_into(document, [kills, drains]) == ["recovery", "memory"]

    written = document.read_text()
    assert (
        "| lane | 20,000 | 2 | 50,000 | 6.0 (6.0 to 6.0) | 6.5 (6.5 to 6.5) | 8.0 (7.0 to 9.0) | 1.00 |"
        in written
    )
    assert "| faust-table | 1,000 | 1 | 50,000 | 6.0 | 6.5 | 20.0 | 2.50 |" in written
    assert "Without quix: nobody took over" in written
    assert "| lane | 1,000,000 | 500,000 | 90 | 300 | 350 | 50 | 1.00 | 1,000 | 1.00 |" in written
    assert "| quix | 1,000,000 | 500,000 | 90 | 300 | 350 | 50 | 1.00 | 2,000 | 2.00 |" in written
    assert "Without faust: it ended" in written
    for kind in ("recovery", "memory"):
        assert f"({kind}.svg)" in written
        assert ElementTree.parse(tmp_path / f"{kind}.svg").getroot().tag.endswith("svg")


@pytest.mark.parametrize(
    ("picture", "names"),
    [
        (recovery_picture.draw(recovery_result()), ("lane", "faust-table", "without quix: nobody took over")),
        (memory_picture.draw(memory_result()), ("lane", "quix", "without faust: it ended", "2,000 B")),
    ],
)
def test_the_pictures_are_svg_with_every_contestant(picture: str, names: tuple[str, ...]) -> None:
    assert ElementTree.fromstring(picture).tag.endswith("svg")
    assert [name for name in names if name not in picture] == []


@pytest.mark.parametrize(
    ("command", "module", "result"),
    [("recovery", recovery, recovery_result()), ("memory", memory, memory_result())],
)
def test_a_run_with_someone_missing_writes_all_it_has_and_fails(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, command: str, module: Any, result: Any
) -> None:
    monkeypatch.setattr(module, "run", lambda *_: result)
    written, drawn = tmp_path / "run.json", tmp_path / "run.svg"

    told = CliRunner().invoke(app, ["bench", command, "-o", str(written), "--picture", str(drawn)])

    assert told.exit_code == 1
    assert f"without {next(iter(result.missing))}" in told.stderr
    assert msgspec.json.decode(written.read_bytes(), type=type(result)) == result
    assert drawn.exists()
