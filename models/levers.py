"""Which lever fits a cause: whom it would reach, and what else was thought of.

A lever is chosen from the cause alone (QoE attribution: bad on one CDN over many ISPs is the CDN; one release
or one title everywhere is not delivery). Whether it may be pulled is the policy's business.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from config.sections import PolicySettings
from models import words
from topics.anomalies import AnomalyKind
from topics.commands import Command, CommandKind
from topics.fields import Cell, cell_key
from topics.incidents import Incident

CDN, BITRATE, P2P = "cdn", "bitrate_kbps", "p2p"


@dataclass(frozen=True, slots=True)
class Lever:
    """What could be done about an incident."""

    kind: CommandKind
    target: str
    does: str
    """In words: what would happen to whom."""
    undo: str
    audience: Cell = field(default_factory=dict)
    away_from: str = ""
    max_bitrate_kbps: float | None = None
    p2p: bool | None = None
    pipeline: str = ""
    from_sequence: int | None = None

    def is_pulled_by(self, command: Command) -> bool:
        """Whether `command` does this already, to whatever share of the audience."""
        return all(
            getattr(self, name) == getattr(command, name)
            for name in ("kind", "target", "away_from", "max_bitrate_kbps", "p2p", "pipeline")
        )


@dataclass(frozen=True, slots=True)
class Choice:
    """The lever that fits best, or none; and why not the others."""

    lever: Lever | None
    others: list[str]


def choose(incident: Incident, settings: PolicySettings) -> Choice:
    """Return the lever that fits the cause of `incident`."""
    if incident.kind is AnomalyKind.INGEST_FAILURE:
        return _ingest(incident)
    return delivery(incident.cause, incident.scope, settings, incident.only_cdn)


def delivery(cause: Cell, scope: Cell, settings: PolicySettings, only_cdn: str = "") -> Choice:
    """Return the lever that fits a cause among viewers, or why there is none.

    Args:
        scope: whom was looked at, such as the viewers of one title.
        only_cdn: serves all of them. Whether it is at fault nobody can tell before some are elsewhere;
            that is what a small first step is for.
    """
    if not cause and not only_cdn:
        return Choice(None, ["the cause is not known: to move viewers could make it worse"])
    beyond = [name for name in settings.never_reroute if name in cause]
    if beyond:
        named = words.listed([f"{name}={cause[name]}" for name in beyond])
        return Choice(None, [f"{named} is at fault wherever it is played: no delivery lever mends it"])
    levers: list[Lever] = []
    others: list[str] = []
    if CDN in cause:
        levers.append(_steer(cause, scope))
    if BITRATE in cause:
        cap = _cap_below(cause[BITRATE], settings.ladder_kbps)
        if cap is None:
            others.append(f"shed: there is nothing to offer below {cause[BITRATE]} kb/s")
        else:
            levers.append(_cap(cause, scope, cap))
    if cause.get(P2P) == "1":
        levers.append(_leave_peers(cause, scope))
    if CDN not in cause and only_cdn:
        levers.append(_steer({**cause, CDN: only_cdn}, scope))
    if not levers:
        return Choice(None, others or [f"no lever reaches {cell_key(cause)}: it is the same on every CDN"])
    return Choice(levers[0], [*others, *(f"{each.does}: less direct" for each in levers[1:])])


def in_words(cause: Cell, scope: Cell, settings: PolicySettings, only_cdn: str = "") -> str:
    """Return what could help, or why nothing would."""
    choice = delivery(cause, scope, settings, only_cdn)
    return words.sentence(choice.lever.does if choice.lever is not None else choice.others[0])


OWNERS = (
    ("app_version", "release of app {}"),
    ("player_version", "release of player {}"),
    ("channel", "ingest of channel {}"),
    ("title", "content and packaging of {}"),
    ("cdn", "CDN {}"),
    ("isp", "ISP {}"),
    ("region", "network of {}"),
    ("bitrate_kbps", "encoding and packaging of {} kb/s"),
    ("platform", "player on {}"),
    ("device", "player on {}"),
)
"""Whose business a value of a dimension is; where a cause names several, the first is nearest to it."""


def owner(cause: Cell) -> str:
    """Return whose business a cause is.

    >>> owner({"cdn": "b", "device": "tv"}), owner({"cdn": "b", "isp": "3320"}), owner({"p2p": "1"})
    ('CDN b', 'CDN b with ISP 3320', 'peer-to-peer delivery')
    >>> owner({})
    'unknown or external'
    """
    if not cause:
        return "unknown or external"
    if CDN in cause and "isp" in cause and not {name for name, _ in OWNERS[:4]} & cause.keys():
        return words.name(f"CDN {cause[CDN]} with ISP {cause['isp']}")
    for name, who in OWNERS:
        if name in cause:
            return words.name(who.format(cause[name]))
    return "peer-to-peer delivery" if P2P in cause else words.name(f"whoever runs {cell_key(cause)}")


def _ingest(incident: Incident) -> Choice:
    cause = incident.cause
    if "stream" not in cause or "pipeline" not in cause:
        return Choice(None, ["every pipeline has it: content or upstream, and a switch mends nothing"])
    if not incident.standby:
        return Choice(None, [f"no pipeline is well that could take over from {cause['pipeline']}"])
    failing, standby = cause["pipeline"], incident.standby
    return Choice(
        Lever(
            kind=CommandKind.FAIL_OVER,
            target=cause["stream"],
            does=f"serve {cause['stream']} from {standby} in place of {failing}",
            undo=f"a fail-over back to {failing}, once it is well and only if it is wanted",
            pipeline=standby,
            from_sequence=incident.from_sequence,
        ),
        ["steer: an ingest fault is the same on every CDN"],
    )


def _audience(cause: Cell, scope: Cell, *without: str) -> Cell:
    """Whom a lever reaches: the scope and the rest of the cause."""
    return {name: value for name, value in {**scope, **cause}.items() if name not in without}


def _steer(cause: Cell, scope: Cell) -> Lever:
    # Nobody can be addressed by the bitrate of the moment or by where the bytes come from, nor by what is not
    # known of him: then those of whom it is known are moved with him.
    audience, away_from = _audience(cause, scope, CDN, BITRATE, P2P), cause[CDN]
    audience = {name: value for name, value in audience.items() if value}
    return Lever(
        kind=CommandKind.STEER,
        target=words.name(cell_key(audience)),
        does=f"steer {cell_key(audience)} away from {CDN} {away_from}",
        undo="the default order is served again",
        audience=audience,
        away_from=away_from,
    )


def _cap(cause: Cell, scope: Cell, cap_kbps: float) -> Lever:
    audience = _audience(cause, scope, BITRATE)
    return Lever(
        kind=CommandKind.SHED,
        target=words.name(cell_key(audience)),
        does=f"cap {cell_key(audience)} at {cap_kbps:g} kb/s",
        undo="the cap is lifted",
        audience=audience,
        max_bitrate_kbps=cap_kbps,
    )


def _leave_peers(cause: Cell, scope: Cell) -> Lever:
    audience = _audience(cause, scope, P2P)
    return Lever(
        kind=CommandKind.SHED,
        target=words.name(cell_key(audience)),
        does=f"take {cell_key(audience)} off peer-to-peer delivery",
        undo="peer-to-peer delivery is allowed again",
        audience=audience,
        p2p=False,
    )


def _cap_below(bitrate_kbps: str, ladder_kbps: tuple[float, ...]) -> float | None:
    """Return the highest rung below a bitrate, or None where there is none.

    >>> _cap_below("2000", (235.0, 1050.0, 1750.0, 2350.0)), _cap_below("235", (235.0,))
    (1750.0, None)
    """
    try:
        bound = float(bitrate_kbps)
    except ValueError:
        return None
    return max((rung for rung in ladder_kbps if rung < bound), default=None)
