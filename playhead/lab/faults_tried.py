"""One fault on one CDN, from its first second until viewers are back, and what was made of it.

The fault is told to the CDN alone. All times count from it, on one clock.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec

from playhead.lab.cdns import HOSTS, Fault, Request
from playhead.lab.closed_loop import SICK, ClosedLoop, is_control, names_on
from playhead.lab.players.browser import Watching
from playhead.log_reader import read_to_end
from topics import COMMANDS, INCIDENTS, OUTCOMES
from topics.commands import Command, CommandKind, Outcome
from topics.errors import PlayheadError
from topics.fields import Cell
from topics.incidents import Incident
from topics.spec import TopicSpec

T = TypeVar("T")
R = TypeVar("R", bound=msgspec.Struct)

POLL_S = 0.25
CANDIDATES = 200
EVENTS = ["ps", "e", "t", "rr"]
KEYS = [
    "bl",
    "br",
    "bs",
    "cid",
    "e",
    "ec",
    "h",
    "msd",
    "mtp",
    "ot",
    "rc",
    "sf",
    "sid",
    "sn",
    "st",
    "sta",
    "ts",
    "url",
    "v",
]
EVENT_S = 1
AGAIN_S = 1
"""A page makes a player anew so long after the old one has given up for good."""

FULL_S = 8
"""Of the ten seconds that players may hold, before anything fails."""


class NeverError(PlayheadError):
    """Something that had to come did not; the text says what."""


@dataclass(frozen=True, slots=True)
class Screen:
    """One player in the browser, and the viewer it plays for."""

    player: str
    viewer: str
    watching: Watching


class PlayerTold(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one player."""

    player: str
    moved_s: float
    """Fault to its first good segment from another CDN after which it asked the sick one no more."""
    stalls: int
    back_s: float | None
    """Fault to its first segment from the CDN after it was well; None for one that keeps off it by itself."""


class Tried(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one fault, times in seconds since it began."""

    fault: str
    incident_s: float
    """The window that opened the incident has its end here."""
    cause: Cell
    command_s: float
    reason: str
    evidence: list[str]
    crowd_moved_s: float
    """Until all of the crowd are moved but the control."""
    control: int
    crowd_stalls: int
    well_s: float
    """When the CDN was made well again."""
    crowd_back_s: float
    steps_back: int
    """At how many different numbers the crowd on the CDN stood on its way back."""
    players: list[PlayerTold]


@contextmanager
def screens(
    loop: ClosedLoop,
    watch: Callable[..., Watching],
    title: str,
    players: Sequence[str],
    called: str = "screen",
) -> Iterator[list[Screen]]:
    """Open `players`, each for a viewer of the CDN that will fail who is not of the control.

    They are closed at the end: a player remembers for minutes who has failed it, so each fault needs its own.

    Args:
        called: what the viewers' names begin with.
    """
    candidates = [f"{called}-{at}" for at in range(CANDIDATES)]
    moved = [name for name in candidates if not is_control(name)]
    names = names_on(loop.gateway.url, title, SICK, moved[: 10 * len(players)])
    opened = []
    for player, name in zip(players, names, strict=False):
        kind = "mpd" if player == "dash" else "m3u8"
        url = f"{loop.gateway.url}/v1/manifest/{title}.{kind}?viewer={name}"
        told = _cmcd(player, name, title, f"{loop.gateway.url}/v1/cmcd")
        # With the retries it has by default: what keeps it playing is the steering, not an impatient setting.
        opened.append(Screen(player, name, watch(player, url, patient=True, cmcd=told, againS=AGAIN_S)))
    try:
        for screen in opened:
            screen.watching.wait(f"snapshot().bufferS > {FULL_S}")
        yield opened
    finally:
        for screen in opened:
            screen.watching.close()


def _cmcd(player: str, name: str, title: str, to: str) -> dict[str, Any]:
    target = {"enabled": True, "url": to, "events": EVENTS, "interval": EVENT_S, "timeInterval": EVENT_S}
    if player == "dash":
        target |= {"enabledKeys": KEYS}
        return {"sid": name, "cid": title, "version": 2, "enabledKeys": KEYS, "eventTargets": [target]}
    return {"sessionId": name, "contentId": title, "version": 2, "eventTargets": [target]}


def try_fault(
    loop: ClosedLoop,
    client: Mapping[str, Any],
    prefix: str,
    opened: Sequence[Screen],
    fault: Fault,
    *,
    move_within_s: float,
    hold_s: float,
    back_within_s: float,
    players_back_s: float = 0.0,
    report: Callable[[str], None] = lambda said: None,
) -> Tried:
    """Let the CDN fail until the viewers are elsewhere, keep it so for `hold_s`, and make it well again.

    Raises:
        NeverError: no incident, no command, a player or the crowd did not move or come back in time.
    """
    crowd = loop.crowd
    began_s, stalls_before = time.time(), _stalls(loop)
    there = crowd.on(SICK)
    control = sum(viewer.cdn == SICK and is_control(viewer.name) for viewer in crowd.viewers)

    def since() -> float:
        return round(time.time() - began_s, 2)

    def records(spec: TopicSpec[R]) -> list[R]:
        found = [spec.decode(each.value()) for each in read_to_end(client, spec.full_name(prefix))]
        return [each for each in found if each.time_ms >= 1000 * began_s]  # type: ignore[attr-defined]

    def steering() -> Command | None:
        given = (each for each in records(COMMANDS) if each.kind is CommandKind.STEER and not each.dry_run)
        return next((each for each in given if each.away_from == SICK and not each.ramp), None)

    def within(seconds: float, ask: Callable[[], T | None], what: str) -> T:
        try:
            return _within(seconds, ask, what, opened)
        except NeverError as error:
            decided: list[Command | Outcome] = [*records(COMMANDS), *records(OUTCOMES)]
            said = [f"{each.time_ms / 1000 - began_s:.1f} s {each.kind}: {each.reason}" for each in decided]
            # The next fault begins with CDNs that are well.
            loop.cdns.fail(SICK, None)
            standing = {cdn: crowd.on(cdn) for cdn in HOSTS}
            raise NeverError(f"{error}\n{standing}, {crowd.playing()} play\n" + "\n".join(said)) from None

    loop.cdns.fail(SICK, fault)
    report(f"{SICK} fails: {fault.kind}")
    command = within(move_within_s, steering, f"a command to leave {SICK}")
    report(f"{since():5.1f} s  {command.reason}")
    incident = next(each for each in records(INCIDENTS) if each.incident == command.incident)
    within(move_within_s, lambda: crowd.on(SICK) <= control, f"the crowd off {SICK}")
    crowd_moved_s = since()
    report(f"{crowd_moved_s:5.1f} s  {there - crowd.on(SICK)} of {there} of the crowd are elsewhere")
    moved: dict[str, float] = {}
    for screen in opened:

        def is_elsewhere(screen: Screen = screen) -> float | None:
            return _moved(loop, screen, began_s)

        moved[screen.player] = within(move_within_s, is_elsewhere, f"{screen.player} off {SICK}")
        report(f"{moved[screen.player]:5.1f} s  {screen.player} plays from elsewhere")
    _sleep(began_s + crowd_moved_s + hold_s - time.time(), opened)
    stalls = {screen.player: len(_stalls_since(screen, began_s)) for screen in opened}
    loop.cdns.fail(SICK, None)
    well_s = since()
    report(f"{well_s:5.1f} s  {SICK} is well")
    stood = {crowd.on(SICK)}

    def is_back() -> bool:
        stood.add(crowd.on(SICK))
        return crowd.on(SICK) >= there

    within(back_within_s, is_back, f"the crowd back on {SICK}")
    crowd_back_s = since()
    report(f"{crowd_back_s:5.1f} s  everyone is back, in {len(stood) - 1} steps")
    back = _all_back(loop, opened, began_s, well_s, players_back_s)
    for player, at_s in back.items():
        report(f"{at_s:5.1f} s  {player} is back" if at_s else f"         {player} is not back yet")
    return Tried(
        fault=fault.kind,
        incident_s=round(incident.time_ms / 1000 - began_s, 2),
        cause=_cause_of(records(INCIDENTS), command.incident),
        command_s=round(command.time_ms / 1000 - began_s, 2),
        reason=command.reason,
        evidence=command.evidence,
        crowd_moved_s=crowd_moved_s,
        control=control,
        crowd_stalls=_stalls(loop) - stalls_before,
        well_s=well_s,
        crowd_back_s=crowd_back_s,
        steps_back=len(stood) - 1,
        players=[
            PlayerTold(
                player=screen.player,
                moved_s=moved[screen.player],
                stalls=stalls[screen.player],
                back_s=back[screen.player],
            )
            for screen in opened
        ],
    )


def _within(seconds: float, ask: Callable[[], T | None], what: str, opened: Sequence[Screen]) -> T:
    """Return the first answer that is true; the pages' events are let through meanwhile."""
    deadline = time.monotonic() + seconds
    while not (answer := ask()):
        if time.monotonic() > deadline:
            told = {screen.player: screen.watching.events[-8:] for screen in opened}
            raise NeverError(f"not within {seconds:g} s: {what}; {told}")
        time.sleep(POLL_S)
    return answer


def _sleep(seconds: float, opened: Sequence[Screen]) -> None:
    deadline = time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        time.sleep(min(left, POLL_S))


def _of(loop: ClosedLoop, screen: Screen, since_s: float) -> list[Request]:
    """Return what the player asked for that has pictures or sound.

    Initialisation is left out: Shaka fetches that from where it first heard of it.
    """
    found = [each for each in loop.cdns.segments(since_s=since_s) if "/init" not in each.path]
    return [each for each in found if f'"{screen.viewer}"' in each.cmcd]


def _moved(loop: ClosedLoop, screen: Screen, began_s: float) -> float | None:
    """Return when the player's run of good segments from elsewhere began, which lasts until now."""
    asked = _of(loop, screen, began_s)
    last_there = max((each.at_s for each in asked if each.cdn == SICK), default=began_s)
    good = [each.at_s for each in asked if each.cdn != SICK and each.status == 200 and each.at_s > last_there]
    return round(good[0] - began_s, 2) if len(good) > 1 else None


def _all_back(
    loop: ClosedLoop, opened: Sequence[Screen], began_s: float, well_s: float, wait_s: float
) -> dict[str, float | None]:
    """Return when each was back; one that keeps off by itself what failed it is not waited for for long."""
    deadline = time.monotonic() + wait_s
    while True:
        back = {screen.player: _back(loop, screen, began_s, well_s) for screen in opened}
        if None not in back.values() or time.monotonic() > deadline:
            return back
        time.sleep(POLL_S)


def _back(loop: ClosedLoop, screen: Screen, began_s: float, well_s: float) -> float | None:
    good = [each.at_s for each in _of(loop, screen, began_s + well_s) if each.cdn == SICK]
    return round(good[0] - began_s, 2) if good else None


def _stalls_since(screen: Screen, since_s: float) -> list[dict[str, Any]]:
    return [each for each in screen.watching.stalls() if each["atS"] >= since_s]


def _stalls(loop: ClosedLoop) -> int:
    return sum(len(viewer.stalls) for viewer in loop.crowd.viewers)


def _cause_of(incidents: Iterable[Incident], name: str) -> Cell:
    return next(
        (each.cause for each in reversed(list(incidents)) if each.incident == name and each.cause), {}
    )
