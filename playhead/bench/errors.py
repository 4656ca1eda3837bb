"""What can go wrong while measuring.

PlayheadError
└── BenchError                   a contestant did not do its job
    └── ContestantMissingError   one cannot be had on this machine
"""

from __future__ import annotations

from topics.errors import PlayheadError


class BenchError(PlayheadError):
    """A contestant did not do its job."""


class ContestantMissingError(BenchError):
    """A contestant cannot be had on this machine."""
