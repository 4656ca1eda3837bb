"""Errors of the contracts.

PlayheadError
└── ContractError      a value that does not keep its topic's contract
"""

from __future__ import annotations


class PlayheadError(Exception):
    """Anything Playhead raises on purpose; its text is written for the person who reads it."""


class ContractError(PlayheadError):
    """A value does not keep the contract of `topic`; `reason` names the field and what is wrong with it."""

    def __init__(self, topic: str, reason: str) -> None:
        super().__init__(f"{topic}: {reason}")
        self.topic = topic
        self.reason = reason
