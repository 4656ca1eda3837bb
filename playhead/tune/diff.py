"""What was chosen, as a difference to the settings and as a file of settings."""

from __future__ import annotations

from collections.abc import Iterable

from playhead.tune.run import Choice, Tuned


def config_diff(tuned: Iterable[Tuned]) -> str:
    """Return the lines of the settings that change, as a unified difference without context.

    >>> from models.tuning import tell
    >>> nothing = tell([], 0.5, 1, choosing=True)
    >>> one = Tuned(detector="bank", choices=[Choice(setting="detection.z_high", now=3.0, tuned=4.5)], why="",
    ...             now_chosen_on=nothing, now=nothing, tuned=nothing, cpu_us_per_row=0.0, fired_ms={})
    >>> print(config_diff([one]))
    --- settings now
    +++ settings tuned
    @@ [detection] @@
    -z_high = 3.0
    +z_high = 4.5
    """
    lines = ["--- settings now", "+++ settings tuned"]
    for section, choices in _by_section(tuned).items():
        lines.append(f"@@ [{section}] @@")
        for name, choice in choices:
            lines += [f"-{name} = {choice.now}", f"+{name} = {choice.tuned}"]
    return "\n".join(lines)


def config_file(tuned: Iterable[Tuned], said: str) -> str:
    """Return the choices as TOML, with a comment of what they come from."""
    lines = [f"# {line}" for line in said.splitlines()]
    for section, choices in _by_section(tuned).items():
        lines += ["", f"[{section}]"]
        lines += [f"{name} = {choice.tuned}" for name, choice in choices]
    return "\n".join(lines) + "\n"


def _by_section(tuned: Iterable[Tuned]) -> dict[str, list[tuple[str, Choice]]]:
    sections: dict[str, list[tuple[str, Choice]]] = {}
    for choice in (choice for each in tuned for choice in each.choices):
        section, name = choice.setting.split(".", 1)
        sections.setdefault(section, []).append((name, choice))
    return sections
