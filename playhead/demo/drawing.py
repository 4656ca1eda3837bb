"""The picture of a run: figures, channels, and what happened last."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from playhead.demo.feed import Span
from playhead.demo.narrate import Line
from playhead.demo.story import Loop
from playhead.demo.viewers import MINUTE_MS, Channel, Origin
from topics import PLAYBACK, TELEMETRY
from topics.fields import cell_key

BARS = "▁▂▃▄▅▆▇█"
LOG_LINES = 14
PHASE_STYLES = {
    "open": "bold red",
    "commanded": "bold yellow",
    "steered": "bold cyan",
    "recovered": "bold green",
    "undone": "bold blue",
}


@dataclass(frozen=True, slots=True)
class Frame:
    """What there is to show at one moment."""

    span: Span
    event_ms: int
    elapsed_s: float
    sent: Mapping[str, int]
    """Events by topic."""
    rates: Sequence[float]
    """Events a second so far, the newest last."""
    anomalies: int
    dead: int
    channels: Sequence[Channel]
    loops: Sequence[Loop]

    @property
    def beats(self) -> int:
        """Beats fed."""
        return self.sent.get(PLAYBACK.name, 0)

    @property
    def rate_per_s(self) -> float:
        """Events a second now."""
        return self.rates[-1] if self.rates else 0.0

    @property
    def steered(self) -> int:
        """Incidents under a steering answer."""
        return sum(loop.phase == "steered" for loop in self.loops)


class Drawing:
    """Draws frames, with the last lines of what happened under them."""

    def __init__(self) -> None:
        self._log: deque[Text] = deque(maxlen=LOG_LINES)

    def tell(self, line: Line, span: Span) -> None:
        """Put a line at the end of what happened."""
        text = Text(no_wrap=True, overflow="ellipsis")
        text.append(clock(line.time_ms, span), "dim")
        text.append(f" {line.what:<9} ", line.style)
        text.append(line.text)
        self._log.append(text)

    def draw(self, frame: Frame) -> RenderableType:
        """Return the whole picture."""
        title = "Playhead: recorded incidents through the whole loop"
        return Group(
            Panel(_figures(frame), title=title, title_align="left"),
            _channels(frame),
            Panel(Group(*self._log), title="what happened, by event time", title_align="left"),
        )


def _figures(frame: Frame) -> RenderableType:
    now, end = (clock(time_ms, frame.span) for time_ms in (frame.event_ms, frame.span.end_ms))
    grid = Table.grid(padding=(0, 3))
    grid.add_row(
        _figure("event clock", f"{now} of {end}"),
        _figure("beats in", f"{frame.beats:,}", "bold"),
        Text.assemble((sparkline(frame.rates), "green"), f" {frame.rate_per_s:,.0f}/s"),
        _figure("samples", f"{frame.sent.get(TELEMETRY.name, 0):,}"),
        _figure("anomalies", f"{frame.anomalies}", "yellow"),
        _figure("incidents", f"{len(frame.loops)}", "red"),
        _figure("dead letters", f"{frame.dead}"),
    )
    origin = {each: sum(channel.sent[each] for channel in frame.channels) for each in Origin}
    beats = Table.grid(padding=(0, 3))
    beats.add_row(
        _figure("beats as recorded", f"{origin[Origin.RECORDED]:,}"),
        _figure("of players that obey steering", f"{origin[Origin.OBEYED]:,}", "cyan"),
        _figure("simulated after a recording's end", f"{origin[Origin.SIMULATED]:,}", "magenta"),
    )
    return Group(grid, beats)


def _figure(label: str, value: str, style: str = "") -> Text:
    return Text.assemble((f"{label} ", "dim"), (value, style))


def _channels(frame: Frame) -> Table:
    table = Table(box=None, header_style="dim", padding=(0, 2))
    for column in ("channel", "recording", "now", "people said", "Playhead says", "loop"):
        # Causes may be long: the others keep their width.
        table.add_column(column, no_wrap=True, min_width=None if "sa" in column else len("recovered"))
    for channel in frame.channels:
        loops = [loop for loop in frame.loops if loop.title == channel.title]
        loop = max(loops, key=_weight, default=None)
        label = " or ".join(map(cell_key, channel.incident.causes))
        told = frame.event_ms >= channel.labelled_ms
        phase = loop.phase if loop is not None else ""
        table.add_row(
            channel.title,
            channel.incident.file.removesuffix(".csv"),
            stage(channel, frame.event_ms),
            Text(label) if told else Text("…", "dim"),
            cell_key(loop.newest.cause) if loop is not None and loop.newest.cause else "",
            Text(phase, PHASE_STYLES.get(phase, "")),
        )
    return table


def _weight(loop: Loop) -> tuple[bool, bool, bool, float]:
    """What makes an incident the one to show: that viewers are or were moved, that it is on, its size."""
    return loop.phase == "steered", bool(loop.answers), not loop.recovered, loop.newest.impact_viewers


def stage(channel: Channel, event_ms: int) -> Text:
    """Return where a channel is: recorded, in the labelled minute, simulated, or off."""
    if not channel.start_ms <= event_ms < channel.end_ms:
        return Text("off", "dim")
    if channel.labelled_ms <= event_ms < channel.labelled_ms + MINUTE_MS:
        return Text("recorded, the bad minute", "bold yellow")
    if event_ms < channel.recorded_until_ms:
        return Text("recorded")
    return Text("simulated", "magenta")


def clock(time_ms: int, span: Span) -> str:
    """Return an event time as minutes and seconds into the demo; a time before it as a line.

    >>> clock(125_000, Span(60_000, 600_000)), clock(59_000, Span(60_000, 600_000))
    ('01:05', '  -  ')
    """
    seconds = (time_ms - span.start_ms) // 1_000
    return f"{seconds // 60:02d}:{seconds % 60:02d}" if seconds >= 0 else "  -  "


def sparkline(rates: Sequence[float]) -> str:
    """Return the course of `rates` as bars.

    >>> sparkline([0, 50, 100])
    '▁▄█'
    """
    most = max(rates, default=0) or 1
    return "".join(BARS[int(rate / most * (len(BARS) - 1))] for rate in rates)
