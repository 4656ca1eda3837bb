"""What a person means by the name of an incident, a command or an audience, given in part."""

from __future__ import annotations

from collections.abc import Iterable

from topics.errors import PlayheadError


class NothingKnownError(PlayheadError):
    """A name is none of those that the topics hold, or of several."""


def the_one(asked: str, names: Iterable[str], what: str) -> str:
    """Return the one of `names` that `asked` is, begins, or is part of.

    Args:
        what: they are names of, for the error.

    Raises:
        NothingKnownError: there is none, or several.

    Example:
        >>> the_one("isp=3320", ["d94ab8", "isp=3320,title=cup-final"], "audience")
        'isp=3320,title=cup-final'
        >>> the_one("isp=3", ["isp=3", "isp=3320"], "audience")
        'isp=3'
    """
    known = set(names)
    if asked in known:
        return asked
    parts = set(asked.split(","))
    fitting = sorted(
        name for name in known if asked and (name.startswith(asked) or parts <= set(name.split(",")))
    )
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        more = ", …" if len(fitting) > 5 else ""
        raise NothingKnownError(f"{asked!r} may be {len(fitting)}: {', '.join(fitting[:5])}{more}")
    raise NothingKnownError(
        f"{asked!r} is no {what} that the topics still hold; `playhead steer status` names those in force"
    )
