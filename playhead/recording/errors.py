"""What can be wrong with a recording.

PlayheadError
└── RecordingError              what was asked cannot be done with it
    ├── NoRecordingError        there is none in the folder; exit code 3
    └── DamagedRecordingError   a file is missing, cut short, changed or of another shape
"""

from __future__ import annotations

from pathlib import Path

from topics.errors import PlayheadError


class RecordingError(PlayheadError):
    """A recording cannot be made or played as asked."""


class NoRecordingError(RecordingError):
    """There is no recording."""

    exit_code = 3


class DamagedRecordingError(RecordingError):
    """A file of a recording is not as it was written."""

    def __init__(self, path: Path, problem: str) -> None:
        super().__init__(f"{path}: {problem}")
        self.path = path
        self.problem = problem
