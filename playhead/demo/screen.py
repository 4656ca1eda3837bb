"""How the demo is shown: a live screen on a terminal, lines elsewhere, JSON for scripts, and a photograph."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Protocol

from rich.console import Console
from rich.live import Live

from playhead.cli.output import print_json
from playhead.demo.drawing import Drawing, Frame, clock
from playhead.demo.feed import Span
from playhead.demo.narrate import Line
from playhead.demo.report import as_json, tables
from playhead.demo.score import Result

FRAMES_PER_S = 5
STATUS_EVERY_S = 2.0
PHOTOGRAPH_WIDTH = 150


class Screen(Protocol):
    """Where a run is shown."""

    def say(self, text: str) -> None:
        """Tell what is being prepared."""

    def tell(self, line: Line, span: Span) -> None:
        """Tell what has happened."""

    def show(self, frame: Frame) -> None:
        """Show how things stand."""

    def close(self) -> None:
        """Give the terminal back; harmless twice."""

    def finish(self, result: Result) -> None:
        """Show what came of it."""


class PlainScreen:
    """Lines, for logs and pipes."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._next_s = 0.0

    def say(self, text: str) -> None:
        """Print it."""
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def tell(self, line: Line, span: Span) -> None:
        """Print it with the event clock."""
        self.say(f"{clock(line.time_ms, span)} {line.what:<9} {line.text}")

    def show(self, frame: Frame) -> None:
        """Print the figures, every few seconds."""
        if frame.elapsed_s < self._next_s:
            return
        self._next_s = frame.elapsed_s + STATUS_EVERY_S
        self.say(
            f"{clock(frame.event_ms, frame.span)}           {frame.beats:,} beats in,"
            f" {frame.rate_per_s:,.0f} events/s; {frame.anomalies} anomalies, {len(frame.loops)} incidents,"
            f" {frame.steered} steered"
        )

    def close(self) -> None:
        """There is nothing to give back."""

    def finish(self, result: Result) -> None:
        """Print the tables."""
        self._console.print(tables(result))


class JsonScreen:
    """One JSON value a line."""

    def say(self, text: str) -> None:
        """Print it."""
        print_json({"note": text})

    def tell(self, line: Line, span: Span) -> None:
        """Print it."""
        at = clock(line.time_ms, span)
        print_json({"event": line.what, "time_ms": line.time_ms, "at": at, "text": line.text})

    def show(self, frame: Frame) -> None:
        """Say nothing: the figures come at the end."""

    def close(self) -> None:
        """There is nothing to give back."""

    def finish(self, result: Result) -> None:
        """Print the result."""
        print_json({"result": as_json(result)})


class LiveScreen:
    """A picture that is drawn anew several times a second."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._drawing = Drawing()
        self._live: Live | None = None
        self._next_s = 0.0

    def say(self, text: str) -> None:
        """Print it above the picture."""
        self._console.print(text, markup=False, highlight=False)

    def tell(self, line: Line, span: Span) -> None:
        """Put it into the picture."""
        self._drawing.tell(line, span)

    def show(self, frame: Frame) -> None:
        """Draw it, unless the last one was drawn just now."""
        if frame.elapsed_s < self._next_s:
            return
        self._next_s = frame.elapsed_s + 1 / FRAMES_PER_S
        if self._live is None:
            self._live = Live(console=self._console, auto_refresh=False)
            self._live.start()
        self._live.update(self._drawing.draw(frame), refresh=True)

    def close(self) -> None:
        """Leave the last picture where it is."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def finish(self, result: Result) -> None:
        """Print the tables under the last picture."""
        self._console.print(tables(result))


class Photographed:
    """Another screen, of which the moment with the most incidents under steering is saved as SVG.

    Args:
        screen: the other one.
        path: of the picture.
    """

    def __init__(self, screen: Screen, path: Path) -> None:
        self._screen = screen
        self._path = path
        self._drawing = Drawing()
        self._most = 1
        self._next_s = 0.0
        self.say = screen.say
        self.close = screen.close
        self.finish = screen.finish

    def tell(self, line: Line, span: Span) -> None:
        """Tell it, and put it into the picture."""
        self._screen.tell(line, span)
        self._drawing.tell(line, span)

    def show(self, frame: Frame) -> None:
        """Show it, and save it where none was fuller."""
        self._screen.show(frame)
        if frame.steered < self._most or frame.elapsed_s < self._next_s:
            return
        self._most = frame.steered
        self._next_s = frame.elapsed_s + 1
        console = Console(record=True, width=PHOTOGRAPH_WIDTH, file=io.StringIO(), force_terminal=True)
        console.print(self._drawing.draw(frame))
        svg = console.export_svg(title="playhead demo")
        # Without the fonts that Rich would have fetched from the web: any monospaced one will do.
        self._path.write_text(re.sub(r"@font-face \{.*?\}", "", svg, flags=re.DOTALL), encoding="utf-8")
