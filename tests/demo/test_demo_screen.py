from __future__ import annotations

import io
import json
import re
from pathlib import Path

import pytest
from rich.console import Console

from config import load
from playhead.demo.data import Incident, Row
from playhead.demo.drawing import Frame
from playhead.demo.narrate import Line
from playhead.demo.programme import plan
from playhead.demo.score import Count, Label, Latency, Result, Step, Verdict
from playhead.demo.screen import JsonScreen, LiveScreen, Photographed, PlainScreen
from playhead.demo.story import Loop, Told
from playhead.demo.viewers import MINUTE_MS, Answers
from topics import INCIDENTS, STEERING
from topics.anomalies import AnomalyKind, Severity
from topics.experiments import ExperimentResult, VariantResult
from topics.incidents import Incident as IncidentRecord
from topics.incidents import IncidentState
from topics.steering import SteeringAnswer

DEMO = load({}).settings.demo
PLAYED = Incident("one.csv", [[Row({"cdn": "5"}, 100, 1)]] * 6, 3, [{"cdn": "5"}])
ON = plan([PLAYED], 1_795_387_250_643, Answers(), DEMO)
SPAN, CHANNELS = ON.span, ON.channels


def console(*, terminal: bool = False) -> Console:
    return Console(file=io.StringIO(), width=150, force_terminal=terminal)


def printed(on: Console) -> str:
    assert isinstance(on.file, io.StringIO)
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", on.file.getvalue())


def steered_loop() -> Loop:
    incident = IncidentRecord(
        time_ms=SPAN.start_ms + 4 * MINUTE_MS,
        incident="i",
        subject="channel-01: cdn=5",
        state=IncidentState.OPEN,
        kind=AnomalyKind.STREAMING_QUALITY_DROP,
        severity=Severity.HIGH,
        summary="s",
        cause={"cdn": "5"},
        scope={"title": "channel-01"},
        opened_ms=SPAN.start_ms + 4 * MINUTE_MS,
    )
    answer = SteeringAnswer(
        time_ms=1, audience="a", cell={}, pathway_priority=["3"], ttl_s=10, generation=1, command_id="c"
    )
    return Loop([Told(INCIDENTS, incident, 1)], [], [Told(STEERING, answer, 2)], None)


def frame(elapsed_s: float, *loops: Loop, minute: float = 4.5) -> Frame:
    return Frame(
        span=SPAN,
        event_ms=SPAN.start_ms + int(minute * MINUTE_MS),
        elapsed_s=elapsed_s,
        sent={"playback": 12_345, "telemetry": 678},
        rates=[1_000.0, 2_000.0],
        anomalies=3,
        dead=1,
        channels=CHANNELS,
        loops=list(loops),
    )


LINE = Line(SPAN.start_ms + 65_000, "INCIDENT", "cdn=5: 9 % of viewers stall [bold]")


EXPERIMENT = ExperimentResult(
    time_ms=1,
    experiment="e",
    metric="plays",
    confidence=0.95,
    variants=[
        VariantResult(variant="a", count=70, mean=1.5, variance=1.0),
        VariantResult(variant="b", count=80, mean=2.5, variance=1.0, lift=1.0, lift_low=0.25, lift_high=1.75),
    ],
)


def result(*, closed: bool = True) -> Result:
    label = Label("channel-01", "one.csv", SPAN.start_ms, [{"cdn": "5"}])
    return Result(
        counts={"playback": Count(1_000, 990, 10), "telemetry": Count(500, 500, 0)},
        feed_s=10.0,
        beats={"recorded": 900, "obeyed": 60, "simulated": 40},
        event_to_alert=Latency(12, 101.0, 333.0),
        alert_to_steering=Latency(0),
        verdicts=[Verdict(label, True, {"cdn": "3"}, False, True)],
        unlabelled=2,
        series_windows=5,
        series_found=3,
        series_elsewhere=1,
        lists=42,
        experiment=[EXPERIMENT],
        steps=[Step("incident with a named cause", True, "x"), Step("undo", closed, "y")],
    )


def test_lines_have_the_event_clock_and_are_printed_as_they_are() -> None:
    on = console()

    PlainScreen(on).tell(LINE, SPAN)

    assert printed(on) == "01:05 INCIDENT  cdn=5: 9 % of viewers stall [bold]\n"


def test_the_plain_screen_prints_figures_every_few_seconds_only() -> None:
    on = console()
    screen = PlainScreen(on)

    for tenth in range(50):
        screen.show(frame(tenth / 10))

    lines = printed(on).splitlines()
    assert len(lines) == 3
    assert lines[0] == "04:30           12,345 beats in, 2,000 events/s; 3 anomalies, 0 incidents, 0 steered"


def test_the_table_at_the_end_has_every_figure() -> None:
    on = console()

    PlainScreen(on).finish(result())

    text = printed(on)
    for expected in (
        "1,500",
        "150",
        "p50 101 ms, p99 333 ms (12 times)",
        "nothing to measure",
        "1 of 1",
        "0 of 1",
        "3 of 5",
        "900 recorded, 60 obeyed, 40 simulated",
        "cdn=3",
        "42",
        "a 1.5 of 70; b 2.5 of 80, lift from 0.25 to 1.75",
        "undo",
    ):
        assert expected in text


def test_json_is_one_value_a_line(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    screen = JsonScreen()

    screen.say("made")
    screen.tell(LINE, SPAN)
    screen.show(frame(0))
    screen.finish(result(closed=False))

    note, event, last = map(json.loads, capfdbinary.readouterr().out.splitlines())
    assert note == {"note": "made"}
    assert (event["event"], event["at"]) == ("INCIDENT", "01:05")
    assert last["result"]["closed"] is False
    assert last["result"]["lost"] == 0
    assert last["result"]["rate_per_s"] == 150.0


def test_the_live_screen_shows_channels_with_what_people_and_playhead_say() -> None:
    on = console(terminal=True)
    screen = LiveScreen(on)

    screen.tell(LINE, SPAN)
    screen.show(frame(1.0, steered_loop()))
    screen.close()

    text = printed(on)
    for expected in (
        "channel-01",
        "one",
        "cdn=5",
        "steered",
        "04:30",
        "12,345",
        "9 % of viewers stall",
        "▄█",
    ):
        assert expected in text


def test_what_people_said_is_not_shown_before_its_time() -> None:
    on = console(terminal=True)
    screen = LiveScreen(on)

    screen.show(frame(1.0, minute=1.0))
    screen.close()

    assert "cdn=5" not in printed(on)


def test_the_photograph_is_of_the_moment_with_most_under_steering(tmp_path: Path) -> None:
    path = tmp_path / "demo.svg"
    screen = Photographed(PlainScreen(console()), path)

    screen.show(frame(0.0))
    assert not path.exists()
    screen.show(frame(2.0, steered_loop(), steered_loop(), minute=4.25))
    screen.show(frame(4.0, steered_loop(), minute=5.0))

    picture = path.read_text()
    assert "<svg" in picture
    assert "04:15" in picture
    assert "05:00" not in picture
    assert "url(http" not in picture.replace('"', "")
    assert "@font-face" not in picture
