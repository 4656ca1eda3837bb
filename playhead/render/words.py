"""Words and figures for people, short and safe to print."""

from __future__ import annotations

import re
from collections.abc import Mapping

from rich.text import Text

from topics.anomalies import Severity
from topics.fields import cell_key

Part = str | tuple[str, str]
"""Text, or text and the style it is set in."""

SEVERITY_STYLES = {
    Severity.LOW: "blue",
    Severity.MEDIUM: "yellow",
    Severity.HIGH: "bold dark_orange",
    Severity.CRITICAL: "bold white on red",
}

_UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff\ufff9-\ufffb]"
)
"""Controls, marks that reorder or hide text, halves of characters."""


def clean(text: str) -> str:
    r"""Return `text` with what a terminal would obey, or an eye would miss, written out.

    >>> print(clean("a\x1b[2Jb"))
    a\x1b[2Jb
    """
    return _UNSAFE.sub(lambda found: found[0].encode("unicode_escape", "surrogatepass").decode(), text)


def line(*parts: Part) -> Text:
    """Return the parts that say something as one line."""
    text = Text()
    for part in parts:
        told, style = part if isinstance(part, tuple) else (part, "")
        if told:
            text.append(" " if text else "")
            text.append(clean(told), style)
    return text


def severity(value: Severity) -> Part:
    """Return a severity in its colour.

    >>> severity(Severity.HIGH)
    ('HIGH    ', 'bold dark_orange')
    """
    return value.name.ljust(8), SEVERITY_STYLES[value]


def figure(value: float) -> str:
    """Return a number with as many digits as an eye takes in.

    >>> [figure(value) for value in (0.000123456, 12.5, 1234567.8, 3.0)]
    ['0.0001235', '12.5', '1,234,568', '3']
    """
    return f"{value:,.0f}" if 1_000 <= abs(value) < 1e15 else f"{value:.4g}"


def share(value: float | None) -> str:
    """Return a share as a percentage; nothing where there is none.

    >>> share(0.0834), share(None)
    ('8.34 %', '')
    """
    if value is None:
        return ""
    percent = value * 100
    return f"{percent:.3g} %" if abs(percent) < 1_000 else f"{figure(percent)} %"


def signed(value: float) -> str:
    """Return a number with its sign.

    >>> signed(110_000.0), signed(-0.5)
    ('+110,000', '-0.5')
    """
    return f"{'-' if value < 0 else '+'}{figure(abs(value))}"


def duration(ms: float) -> str:
    """Return a length of time.

    >>> [duration(ms) for ms in (850, 12_340, 150_000, 7_200_000)]
    ['850 ms', '12.3 s', '2.5 min', '2 h']
    """
    if ms < 1_000:
        return f"{ms:.3g} ms"
    if ms < 120_000:
        return f"{ms / 1_000:.3g} s"
    if ms < 7_200_000:
        return f"{ms / 60_000:.3g} min"
    return f"{ms / 3_600_000:.4g} h"


def cell(value: Mapping[str, str]) -> str:
    """Return a combination of dimension values."""
    return cell_key(dict(value))


def viewers(count: float) -> str:
    """Return how many viewers; nothing where there are none.

    >>> viewers(1234.0), viewers(0)
    ('1,234 viewers', '')
    """
    return f"{figure(count)} viewers" if count else ""


def labelled(label: str, text: str) -> str:
    """Return `text` after its label; nothing where there is no text."""
    return f"{label} {text}" if text else ""


def dotted(*texts: str) -> Part:
    """Return the texts that say something, with dots between, set back."""
    return " · ".join(text for text in texts if text), "dim"
