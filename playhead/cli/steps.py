"""How far a command of many steps has come: a bar while a person watches, a line a step elsewhere."""

from __future__ import annotations

import time
from typing import Self

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)

from playhead.cli.output import notes


class Steps:
    """Tells on standard error what is being done, and how many of its steps are behind.

    Args:
        total: steps, at the most.
        quiet: whether to tell nothing.
    """

    def __init__(self, total: int, *, quiet: bool = False) -> None:
        self._quiet = quiet
        self._total = total
        self._done = 0
        self._began_s = time.monotonic()
        self._bar = Progress(
            SpinnerColumn(),
            MofNCompleteColumn(),
            BarColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.description}", markup=False),
            console=notes,
            transient=True,
            disable=quiet or not notes.is_terminal,
        )
        self._task = self._bar.add_task("", total=total)

    def report(self, what: str) -> None:
        """Tell what is being done now."""
        self._bar.update(self._task, description=what)
        if not self._quiet and not notes.is_terminal:
            elapsed = time.monotonic() - self._began_s
            notes.print(
                f"{elapsed:6.0f} s  {self._done}/{self._total}  {what}",
                highlight=False,
                markup=False,
                soft_wrap=True,
            )

    def step(self) -> None:
        """One more is behind."""
        self._done += 1
        self._bar.update(self._task, completed=self._done)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()
