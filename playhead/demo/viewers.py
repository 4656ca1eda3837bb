"""The viewers of the demo's channels: who they are, what they report, and that their players obey.

A channel plays one recorded incident: each viewer of each minute becomes one beat, and as many of them stall
as the recording says. From the moment `steering` holds an answer for an audience, its players obey: the
answer's share of the matching viewers moves to the CDN, bitrate or delivery it names, and from then on stalls
at the rate the same minute shows on the side of the fault where it now is. Everyone else goes on as recorded.

After its last recorded minute the channel goes on in *simulation*, drawn with a seed from its own rows. The
fault persists for a while where the recording ended in trouble, for those who were not moved.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from statistics import median

import msgspec
import numpy as np
from numpy.typing import NDArray

from config.demo import DemoSettings
from playhead.demo.data import Incident, Row
from topics.fields import Cell
from topics.playback import PlayerState
from topics.steering import SteeringAnswer

MINUTE_MS = 60_000

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


class Origin(IntEnum):
    """Where a beat comes from."""

    RECORDED = 0
    """As the recording has it."""
    OBEYED = 1
    """Of a viewer whose player obeys an answer."""
    SIMULATED = 2
    """After the recording's end."""


@dataclass(frozen=True, slots=True)
class Minute:
    """One minute of a channel; `healthy_rate` and `fault_rate` are shares of viewers who stall."""

    rows: list[Row]
    simulated: bool
    healthy_rate: float
    """Outside the labelled causes."""
    fault_rate: float
    """Inside them."""

    @property
    def viewers(self) -> int:
        """All who watch."""
        return sum(row.viewers for row in self.rows)

    @property
    def stalled_rate(self) -> float:
        """Share of all viewers who stall."""
        return _rate(self.rows)


class Answers:
    """The steering answers now in force."""

    def __init__(self) -> None:
        self._answers: dict[str, SteeringAnswer] = {}
        self.version = 0
        """Grows with each change."""

    def take(self, answer: SteeringAnswer) -> None:
        """Put `answer` in the place of the one before it for its audience; an older one changes nothing."""
        known = self._answers.get(answer.audience)
        if known is None or answer.generation >= known.generation:
            # Replaced, not changed: the feeder's thread may be looking at the old ones.
            self._answers = {**self._answers, answer.audience: answer}
            self.version += 1

    def move(self, title: str, cell: Cell, ladder_kbps: Sequence[int]) -> tuple[float, Cell]:
        """Return the share of the viewers of `cell` that is moved, and where to.

        Of the answers that would move them, the one with the narrowest audience counts.
        """
        viewer = {"title": title, **cell}
        matching = [each for each in self._answers.values() if each.cell.items() <= viewer.items()]
        for answer in sorted(matching, key=lambda each: (-len(each.cell), each.audience)):
            moved = obey(cell, answer, ladder_kbps)
            if answer.share > 0 and moved != cell:
                return answer.share, moved
        return 0.0, cell


def obey(cell: Cell, answer: SteeringAnswer, ladder_kbps: Sequence[int]) -> Cell:
    """Return the dimensions of a viewer of `cell` whose player obeys `answer`.

    Args:
        ladder_kbps: the channel's own bitrates, of which the best that is allowed is taken.

    >>> answer = SteeringAnswer(time_ms=0, audience="cdn=5", cell={"cdn": "5"}, pathway_priority=["3", "5"],
    ...                         away_from="5", ttl_s=10, generation=1, p2p=False)
    >>> obey({"cdn": "5", "p2p": "1", "isp": "a"}, answer, [500])
    {'cdn': '3', 'p2p': '0', 'isp': 'a'}
    """
    moved = dict(cell)
    if answer.pathway_priority and "cdn" in cell and answer.away_from in ("", cell["cdn"]):
        moved["cdn"] = answer.pathway_priority[0]
    most_kbps = answer.max_bitrate_kbps
    if most_kbps is not None and float(cell.get("bitrate_kbps", 0)) > most_kbps:
        allowed = [kbps for kbps in ladder_kbps if 0 < kbps <= most_kbps]
        moved["bitrate_kbps"] = str(max(allowed, default=int(most_kbps)))
    if answer.p2p is not None and "p2p" in cell:
        moved["p2p"] = str(int(answer.p2p))
    return moved


def timeline(incident: Incident, demo: DemoSettings, seed: int) -> list[Minute]:
    """Return the minutes of a channel: those recorded, then those simulated."""
    draw = np.random.default_rng(seed)
    recorded = _recorded(incident)
    before = [minute for minute in recorded[: incident.labelled] if minute.rows] or recorded
    usual = median(minute.stalled_rate for minute in before)
    calm = [minute for minute in before if minute.stalled_rate <= usual]
    persists = demo.fault_minutes if ends_in_trouble(incident) else 0
    bad_rate = recorded[incident.labelled].fault_rate
    simulated = []
    for index in range(persists + demo.healed_minutes):
        rows = calm[draw.integers(len(calm))].rows
        if index < persists:
            rows = [
                row._replace(stalled=int(draw.binomial(row.viewers, bad_rate)))
                if in_any(row.cell, incident.causes)
                else row
                for row in rows
            ]
        simulated.append(_minute(rows, incident.causes, simulated=True))
    return recorded + simulated


def ends_in_trouble(incident: Incident) -> bool:
    """Whether the fault is still on when the recording ends."""
    recorded = _recorded(incident)
    before = [minute.fault_rate for minute in recorded[: incident.labelled]]
    bad = recorded[incident.labelled].fault_rate
    return recorded[-1].fault_rate > (median(before or [0.0]) + bad) / 2


def in_any(cell: Cell, causes: Iterable[Cell]) -> bool:
    """Whether `cell` lies inside one of `causes`."""
    return any(cause.items() <= cell.items() for cause in causes)


def _recorded(incident: Incident) -> list[Minute]:
    """Return the recorded minutes, without one at the end that the recording stopped amid."""
    viewers = [sum(row.viewers for row in rows) for rows in incident.minutes]
    whole = len(viewers)
    while whole > incident.labelled + 1 and viewers[whole - 1] < median(viewers) / 2:
        whole -= 1
    return [_minute(rows, incident.causes, simulated=False) for rows in incident.minutes[:whole]]


def _minute(rows: list[Row], causes: list[Cell], *, simulated: bool) -> Minute:
    sides: tuple[list[Row], list[Row]] = ([], [])
    for row in rows:
        sides[in_any(row.cell, causes)].append(row)
    return Minute(rows, simulated, _rate(sides[False]), _rate(sides[True]))


def _rate(rows: list[Row]) -> float:
    return sum(row.stalled for row in rows) / max(sum(row.viewers for row in rows), 1)


@dataclass(slots=True)
class _Plan:
    """The viewers of one minute in the order of their beats; `code` says which cell a viewer is of."""

    minute: int
    code: Ints
    number: Ints
    """Of the viewer within its cell."""
    offset_ms: Ints
    stalled: Bools
    luck: NDArray[np.float64]
    """What decides whether a viewer that has moved stalls, from 0 to 1."""
    sent: int = 0


@dataclass(slots=True)
class _Cells:
    """The cells that viewers of a channel are in, by code, and where the answers in force move them."""

    cells: list[Cell] = field(default_factory=list)
    codes: dict[tuple[tuple[str, str], ...], int] = field(default_factory=dict)
    said: list[tuple[bytes, bytes]] = field(default_factory=list)
    """What a beat says in each, after whose and when it is: without a stall, and with one."""
    faulty: list[bool] = field(default_factory=list)
    target: list[int] = field(default_factory=list)
    share: list[float] = field(default_factory=list)


class Channel:
    """A channel and its viewers.

    Args:
        title: the channel's name.
        incident: what it plays.
        minutes: its `timeline`.
        start_ms: event time of its first minute, a whole minute.
        answers: those in force, kept up to date by whoever follows `steering`.
        demo: figures.
        seed: of what is drawn.
    """

    def __init__(
        self,
        title: str,
        incident: Incident,
        minutes: list[Minute],
        start_ms: int,
        answers: Answers,
        demo: DemoSettings,
        seed: int,
    ) -> None:
        self.title = title
        self.incident = incident
        self.start_ms = start_ms
        self.minutes = minutes
        self.sent = dict.fromkeys(Origin, 0)
        self._answers = answers
        self._seed = seed
        self._play_ms = MINUTE_MS - demo.stall_ms
        self._stall_ms = demo.stall_ms
        self._cells = _Cells()
        self._version = -1
        self._plan: _Plan | None = None
        self._ladder_kbps = sorted(
            {
                int(row.cell["bitrate_kbps"])
                for rows in incident.minutes
                for row in rows
                if "bitrate_kbps" in row.cell
            }
        )

    @property
    def labelled_ms(self) -> int:
        """Event time of the minute that people labelled as bad."""
        return self.start_ms + self.incident.labelled * MINUTE_MS

    @property
    def recorded_until_ms(self) -> int:
        """Event time from which on it is simulated."""
        recorded = sum(not minute.simulated for minute in self.minutes)
        return self.start_ms + recorded * MINUTE_MS

    @property
    def end_ms(self) -> int:
        """Event time of its end."""
        return self.start_ms + len(self.minutes) * MINUTE_MS

    def until(self, time_ms: int) -> Iterator[tuple[bytes, bytes]]:
        """Yield key and JSON of the beats before `time_ms` not yielded yet, in the order of time."""
        now = self._plan.minute if self._plan is not None else 0
        last = min((time_ms - self.start_ms) // MINUTE_MS, len(self.minutes) - 1)
        for minute in range(now, last + 1):
            if self._plan is None or self._plan.minute != minute:
                self._plan = self._planned(minute)
            yield from self._send(self._plan, time_ms - self.start_ms - minute * MINUTE_MS)

    def audience(self, time_ms: int) -> Iterator[tuple[Cell, float]]:
        """Yield how many viewers each cell has in the minute of `time_ms`, moved as the answers say."""
        minute = (time_ms - self.start_ms) // MINUTE_MS
        if not 0 <= minute < len(self.minutes):
            return
        for row in self.minutes[minute].rows:
            share, moved = self._answers.move(self.title, row.cell, self._ladder_kbps)
            yield row.cell, row.viewers * (1 - share)
            if share:
                yield moved, row.viewers * share

    def _send(self, plan: _Plan, until_ms: int) -> Iterator[tuple[bytes, bytes]]:
        first, plan.sent = plan.sent, int(np.searchsorted(plan.offset_ms, until_ms))
        if first == plan.sent:
            return
        now = slice(first, plan.sent)
        minute = self.minutes[plan.minute]
        self._follow_answers()
        code, number = plan.code[now], plan.number[now]
        share, target = np.array(self._cells.share), np.array(self._cells.target)
        moved = _uniform(code, number, self._seed) < share[code]
        faulty = np.array(self._cells.faulty)
        code_now = np.where(moved, target[code], code)
        crossed = faulty[code_now] != faulty[code]
        rate = np.where(faulty[code_now], minute.fault_rate, minute.healthy_rate)
        stalled = np.where(crossed, plan.luck[now] < rate, plan.stalled[now])
        self._count(minute, moved)
        start_ms = self.start_ms + plan.minute * MINUTE_MS
        said = self._cells.said
        for own, k, at_ms, cell, stalls in zip(
            code.tolist(),
            number.tolist(),
            plan.offset_ms[now].tolist(),
            code_now.tolist(),
            stalled.tolist(),
            strict=True,
        ):
            session = f"{self.title}/{own}/{k}"
            head = f'{{"time_ms":{start_ms + at_ms},"session_id":"{session}",'
            yield session.encode(), head.encode() + said[cell][stalls]

    def _count(self, minute: Minute, moved: Bools) -> None:
        obeying = int(moved.sum())
        self.sent[Origin.OBEYED] += obeying
        self.sent[Origin.SIMULATED if minute.simulated else Origin.RECORDED] += len(moved) - obeying

    def _planned(self, minute: int) -> _Plan:
        rows = self.minutes[minute].rows
        codes = np.array([self._code(row.cell) for row in rows], dtype=np.int64)
        viewers = np.array([row.viewers for row in rows], dtype=np.int64)
        bad = np.repeat(np.array([row.stalled for row in rows], dtype=np.int64), viewers)
        code = np.repeat(codes, viewers)
        number = np.arange(len(code)) - np.repeat(np.cumsum(viewers) - viewers, viewers)
        # Others each minute, so that it is not always the same viewers who stall.
        turned = (number + 7 * minute) % np.repeat(viewers, viewers)
        offset_ms = (_uniform(code, number, self._seed + 1) * MINUTE_MS).astype(np.int64)
        order = np.argsort(offset_ms, kind="stable")
        luck = _uniform(code, number, self._seed + 2 + minute)
        return _Plan(minute, code[order], number[order], offset_ms[order], (turned < bad)[order], luck[order])

    def _code(self, cell: Cell) -> int:
        cells = self._cells
        key = tuple(sorted(cell.items()))
        code = cells.codes.get(key)
        if code is None:
            code = cells.codes[key] = len(cells.cells)
            cells.cells.append(cell)
            cells.faulty.append(in_any(cell, self.incident.causes))
            cells.said.append((self._said(cell, stalls=False), self._said(cell, stalls=True)))
            cells.target.append(code)
            cells.share.append(0.0)
            self._version = -1
        return code

    def _said(self, cell: Cell, *, stalls: bool) -> bytes:
        """Return the end of a beat's JSON, made once: a million beats differ in little else."""
        fields: dict[str, str | int] = {"state": PlayerState.PLAYING.value, "title": self.title, **cell}
        if "bitrate_kbps" in cell:
            fields["bitrate_kbps"] = int(cell["bitrate_kbps"])
        if stalls:
            fields |= {"play_ms": self._play_ms, "stall_ms": self._stall_ms, "stalls": 1}
        else:
            fields["play_ms"] = MINUTE_MS
        return msgspec.json.encode(fields)[1:]

    def _follow_answers(self) -> None:
        """Look up where the viewers of each cell are moved, where answers or cells have changed."""
        if self._version == self._answers.version:
            return
        version, cells = self._answers.version, self._cells
        code = 0
        while code < len(cells.cells):  # which grows with the cells that viewers are moved to
            share, moved = self._answers.move(self.title, cells.cells[code], self._ladder_kbps)
            cells.share[code] = share
            cells.target[code] = self._code(moved)
            code += 1
        self._version = version


def _uniform(code: Ints, number: Ints, salt: int) -> NDArray[np.float64]:
    """A number from 0 to 1 for each viewer, always the same one (splitmix64, Steele et al., 2014)."""
    with np.errstate(over="ignore"):
        z = code.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) + number.astype(np.uint64)
        z = z * np.uint64(0xD1342543DE82EF95) + np.uint64(salt * 2 + 1) * np.uint64(0xDA942042E4DD58B5)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z ^= z >> np.uint64(31)
    return (z >> np.uint64(11)).astype(np.float64) / float(1 << 53)
