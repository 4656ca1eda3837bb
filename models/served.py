"""The steering being served, by audience, and what of it is in force."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from topics.steering import SteeringAnswer


class Answers(Protocol):
    """The newest answer of each audience. A dict is one; there may be 100,000."""

    def get(self, audience: str, /) -> SteeringAnswer | None: ...

    def values(self) -> Iterable[SteeringAnswer]: ...


def in_force(answers: Iterable[SteeringAnswer], now_ms: int) -> list[SteeringAnswer]:
    """Return the answers whose lease has not run out."""
    return [each for each in answers if each.expires_ms is not None and each.expires_ms > now_ms]


def others(answers: Answers, audience: str, now_ms: int) -> list[SteeringAnswer]:
    """Return the answers in force for all audiences but one."""
    return [each for each in in_force(answers.values(), now_ms) if each.audience != audience]


def under(answers: Answers, audience: str, now_ms: int) -> SteeringAnswer | None:
    """Return the answer in force for one audience."""
    answer = answers.get(audience)
    return answer if answer is not None and in_force([answer], now_ms) else None
