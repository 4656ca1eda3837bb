"""`playhead budget` over a real Kafka: the newest ledger of each detector, or that there is none."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from command_line import CommandLine
from topic_tools import TopicTools

from topics import SPENDING
from topics.spending import Spending

LEDGER = Spending(
    time_ms=1_781_980_320_000,
    detector="cohorts",
    since_ms=1_781_677_920_000,
    share=0.4,
    false_pages_per_week=1.0,
    page_level=5e-6,
    tests=40_000,
    spent=0.15,
    episodes=9,
    pages=2,
    static_pages=0,
)


def test_the_newest_ledgers_are_told_as_they_are_spent(kafka: Any, topic_prefix: str) -> None:
    line = CommandLine({"PLAYHEAD_BROKERS": kafka.brokers, "PLAYHEAD_PREFIX": topic_prefix})
    topics = TopicTools(kafka.brokers, topic_prefix)
    missing = line("budget")
    topics.create(SPENDING)
    nothing = line("budget")
    older = msgspec.structs.replace(LEDGER, tests=10, spent=0.0, pages=0)
    other = msgspec.structs.replace(LEDGER, detector="telemetry/3", share=0.05, pages=1, static_pages=1)
    topics.send(SPENDING, [older, LEDGER, other])
    topics.send(SPENDING, [b"{no ledger"], key=b"cohorts")

    (book,) = line.json("budget")
    shown = line("budget")

    assert missing.exit_code != 0
    assert "playhead topics create" in missing.stderr
    assert (nothing.exit_code, nothing.stdout) == (0, "")
    assert "nothing has been spent yet of 1 false pages a week" in nothing.stderr
    assert [each["detector"] for each in book["accounts"]] == ["cohorts", "telemetry/3"]
    assert (book["tests"], book["pages"], book["static_pages"]) == (80_000, 3, 1)
    assert book["left"] == pytest.approx(0.25 + (0.05 - 0.15))
    assert shown.exit_code == 0
    assert "3 pages so far" in shown.stdout
