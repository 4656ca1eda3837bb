"""The topic that a person means."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

from topics import ALL, BY_NAME
from topics.errors import PlayheadError
from topics.spec import AnySpec


class UnknownTopicError(PlayheadError):
    """No contract has this name."""

    exit_code = 2


def complete(incomplete: str) -> list[str]:
    """Return the names of topics that begin with `incomplete`, for completion in a shell.

    >>> complete("inci")
    ['incidents']
    """
    return [spec.name for spec in ALL if not spec.internal and spec.name.startswith(incomplete)]


def spec_named(name: str, prefix: str = "", among: Iterable[AnySpec] = ALL) -> AnySpec:
    """Return the contract named `name`, with or without the run's `prefix`.

    Raises:
        UnknownTopicError: there is none; the text lists those that come close, else all.

    >>> spec_named("run1.telemetry", prefix="run1.").name
    'telemetry'
    >>> spec_named("anomalie")
    Traceback (most recent call last):
    ...
    playhead.topic_names.UnknownTopicError: there is no topic 'anomalie'; did you mean anomalies?
    """
    choice = [spec.name for spec in among]
    for candidate in (name, name.removeprefix(prefix)):
        if candidate in choice:
            return BY_NAME[candidate]
    near = get_close_matches(name.removeprefix(prefix), choice, 3, cutoff=0.6)
    hint = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(choice)}"
    raise UnknownTopicError(f"there is no topic {name!r}; {hint}")
