"""How far a long command has come: a line on standard error while a person watches."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

from rich.progress import (
    BarColumn,
    Progress,
    SpinnerColumn,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)

from playhead.cli.output import notes

UPDATES_PER_S = 5.0


class Meter:
    """Shows a title, a bar where the total is known, and a note; silent where standard error is no terminal.

    Args:
        title: what is being done.
        total: how much there is, in the unit of `update`; None where nobody knows.
        quiet: whether to show nothing at all.
    """

    def __init__(self, title: str, total: float | None = None, *, quiet: bool = False) -> None:
        columns = [SpinnerColumn(), TextColumn("{task.description}")]
        bar = [BarColumn(), TaskProgressColumn(), TimeRemainingColumn()] if total else []
        self._progress = Progress(
            *columns,
            *bar,
            TextColumn("{task.fields[note]}"),
            console=notes,
            transient=True,
            disable=quiet or not notes.is_terminal,
            refresh_per_second=UPDATES_PER_S,
        )
        self._task = self._progress.add_task(title, total=total, note="")
        self._began_s = time.perf_counter()
        self._due_s = 0.0

    @property
    def seconds(self) -> float:
        """Time since the beginning."""
        return time.perf_counter() - self._began_s

    def update(self, done: float, count: int, note: str = "") -> None:
        """Tell that `done` of the total and `count` records are behind; cheap when called too often."""
        now_s = time.perf_counter()
        if now_s < self._due_s:
            return
        self._due_s = now_s + 1 / UPDATES_PER_S
        rate = count / max(now_s - self._began_s, 1e-9)
        self._progress.update(self._task, completed=done, note=f"{count:,} · {rate:,.0f}/s {note}".rstrip())

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()
