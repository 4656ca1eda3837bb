"""Answers as decisions look them up: by audience."""

from __future__ import annotations

from topics.steering import SteeringAnswer


def serving(*answers: SteeringAnswer) -> dict[str, SteeringAnswer]:
    return {answer.audience: answer for answer in answers}
