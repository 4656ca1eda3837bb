"""The answer for one viewer: the order of CDNs, how it came to be, and when to ask again.

The dimension ``cdn`` of an audience means those who would go to that CDN first. So an audience does not
change because its viewers were moved, and nobody is sent back because he has left. Where the CDN that a
viewer is moved to is itself being left, he is moved on, each CDN that was left going to the end.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from config.steering import SteeringSettings
from models.steering_audiences import Audiences
from models.steering_order import is_moved, order_for
from models.steering_ttl import ttl_s
from topics.steering import SteeringAnswer


@dataclass(frozen=True, slots=True)
class Viewer:
    """Who asks.

    `name` is what shares are drawn by: viewers of one name are moved together.
    """

    name: str
    cell: Mapping[str, str] = field(default_factory=dict)
    live: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """What a viewer is told, and why."""

    order: list[str]
    """CDNs, best first, none twice, never empty."""
    ttl_s: int
    max_bitrate_kbps: float | None = None
    control: bool = False
    """He stays on a CDN that others of his audience are moved away from."""
    said: dict[str, int] = field(default_factory=dict)
    """Generation of the word on each audience that decided, be it that the viewer is of the control."""
    time_ms: int = 0
    """Of the newest of them."""
    expires_ms: int | None = None
    """When the first of them ends."""


def answer_for(
    audiences: Audiences,
    settings: SteeringSettings,
    viewer: Viewer,
    default: Sequence[str],
    now_ms: int,
    load: float = 0.0,
) -> Answer:
    """Return what `viewer` is told now.

    Args:
        default: the order of CDNs where nothing is asked; names besides these are not told to players.
        load: polls a second over those that are to be answered.

    Raises:
        ValueError: `default` is empty: there is no CDN to go to.
    """
    if not default:
        raise ValueError("the default order names no CDN")
    order, obeyed = _order(audiences, viewer, default, now_ms)
    cap_kbps, capped = _cap(audiences, viewer, order[0], now_ms)
    words = [*obeyed, *capped]
    asked_s = min((word.ttl_s for word in words), default=None)
    suspect = (
        bool(words) or audiences.is_suspect(order[0], now_ms) or audiences.is_suspect(default[0], now_ms)
    )
    return Answer(
        order=order,
        control=bool(obeyed) and obeyed[-1].away_from == order[0],
        ttl_s=ttl_s(settings, viewer.name, suspect=suspect, asked_s=asked_s, live=viewer.live, load=load),
        max_bitrate_kbps=cap_kbps,
        said={word.audience: word.generation for word in words},
        time_ms=max((word.time_ms for word in words), default=0),
        expires_ms=min((word.expires_ms for word in words if word.expires_ms is not None), default=None),
    )


def _order(
    audiences: Audiences, viewer: Viewer, default: Sequence[str], now_ms: int
) -> tuple[list[str], list[SteeringAnswer]]:
    order = list(dict.fromkeys(default))
    left: dict[str, None] = {}
    """CDNs that this viewer is moved away from: nowhere to send him."""
    leaving: dict[str, None] = {}
    """... and those that others like him are leaving: his last resort, but no reason to move him."""
    obeyed: list[SteeringAnswer] = []
    while True:
        head = order[0]
        words = [
            word for word in audiences.in_force({**viewer.cell, "cdn": head}, now_ms) if word.pathway_priority
        ]
        away = [word for word in words if word.away_from not in ("", head)]
        leaving |= {word.away_from: None for word in away}
        left |= {word.away_from: None for word in away if is_moved(word, viewer.name, now_ms)}
        word = next((each for each in words if _moves_from(each, head, again=bool(obeyed))), None)
        if word is not None:
            obeyed.append(word)
        # Of the control: whoever is compared must not be moved by another word instead.
        if word is None or not is_moved(word, viewer.name, now_ms):
            break
        avoided = left | {word.away_from: None}
        asked = [each for each in order_for(word, viewer.name, now_ms, order) if each in order]
        good = [each for each in dict.fromkeys([*asked, *order]) if each not in avoided]
        if not good:
            break  # nothing is well: the least bad order is the one there is
        left = avoided
        order = [*good, *(each for each in order if each in left)]
    others, last = order[1:], {name: None for name in leaving if name not in left} | left
    return [
        order[0],
        *(each for each in others if each not in last),
        *(each for each in last if each in others),
    ], obeyed


def _moves_from(word: SteeringAnswer, head: str, *, again: bool) -> bool:
    """Whether `word` is for those who would go to `head`; one without a CDN to leave is for all, once."""
    return word.away_from == head or not (word.away_from or again)


def _cap(
    audiences: Audiences, viewer: Viewer, head: str, now_ms: int
) -> tuple[float | None, list[SteeringAnswer]]:
    """Return the lowest bitrate that any audience of the viewer is held to, and the words that do so."""
    words = [
        word
        for word in audiences.in_force({**viewer.cell, "cdn": head}, now_ms)
        if word.max_bitrate_kbps is not None and is_moved(word, viewer.name, now_ms)
    ]
    return min((word.max_bitrate_kbps for word in words if word.max_bitrate_kbps), default=None), words
