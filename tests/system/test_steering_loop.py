"""Commands and alerts reach players over HTTP through a real Kafka, and all are answered meanwhile."""

from __future__ import annotations

from typing import Any

from config import load
from playhead.bench import steering


def test_a_crowd_is_answered_rightly_and_commands_and_alerts_change_their_answers(kafka: Any) -> None:
    settings = load({"PLAYHEAD_BROKERS": kafka.brokers}).settings

    result = steering.run(
        settings, cohorts=3_000, sites=30, rate=100, seconds=3, commands=5, report=lambda _: None
    )

    assert result.answers.polls == 300
    assert (result.answers.wrong, result.answers.failed) == (0, 0)
    assert result.command_to_answer.records == 5
    assert result.alert_to_answer.records == 5
