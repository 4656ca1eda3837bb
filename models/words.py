"""Figures as people read them in summaries, reasons and evidence."""

from __future__ import annotations

from hashlib import blake2b

NAME_CHARACTERS = 200
SENTENCE_CHARACTERS = 2_000


def percent(ratio: float) -> str:
    """Return a ratio in percent, to three digits at most.

    >>> percent(0.0412), percent(0.5), percent(0.00004)
    ('4.12 %', '50 %', '0.004 %')
    """
    return f"{100 * ratio:.3g} %"


def viewers(count: float) -> str:
    """Return a number of viewers to two digits, since it is an estimate.

    >>> viewers(893.7), viewers(12_345), viewers(1.2)
    ('about 890 viewers', 'about 12,000 viewers', 'about 1 viewer')
    """
    rounded = int(float(f"{count:.2g}"))
    return f"about {rounded:,} viewer{'' if rounded == 1 else 's'}"


def lasting(duration_ms: float) -> str:
    """Return a duration in the unit that suits it.

    >>> lasting(45_000), lasting(300_000), lasting(5_400_000)
    ('45 s', '5 min', '1.5 h')
    """
    seconds = duration_ms / 1_000
    if seconds < 120:
        return f"{seconds:.3g} s"
    return f"{seconds / 60:.3g} min" if seconds < 3_600 else f"{seconds / 3_600:.3g} h"


def listed(names: list[str]) -> str:
    """Return names as a list in a sentence.

    >>> listed(["a"]), listed(["a", "b", "c"]), listed([])
    ('a', 'a, b and c', 'none')
    """
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names) or "none"


def sentence(text: str) -> str:
    """Return `text`, cut to what a contract takes for a sentence."""
    return text if len(text) <= SENTENCE_CHARACTERS else f"{text[: SENTENCE_CHARACTERS - 1]}…"


def name(text: str) -> str:
    """Return `text` as a name: what exceeds a name's length is cut and told apart by a hash.

    >>> name("cdn=7"), len(name("x" * 300))
    ('cdn=7', 200)
    """
    if len(text) <= NAME_CHARACTERS:
        return text
    return f"{text[: NAME_CHARACTERS - 13]}~{blake2b(text.encode(), digest_size=6).hexdigest()}"
