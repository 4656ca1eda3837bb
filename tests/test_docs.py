"""The commands that the documents show are there, with the options as written."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path

import click
import pytest
import typer

from playhead.cli import app

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```(?:bash|sh|console)\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!https?://|#|mailto:)([^)#\s]+)")


def shown(program: str) -> Iterator[tuple[str, str]]:
    """Yield page and command of each line that runs `program`, the parts of a pipe apart."""
    for page in PAGES:
        for block in BLOCK.findall(page.read_text(encoding="utf-8")):
            for line in block.replace("\\\n", " ").splitlines():
                for part in re.split(r"\s(?:\||&&|;)\s", line.split(" # ")[0].strip().removeprefix("$ ")):
                    words = [word for word in part.split() if not re.fullmatch(r"[A-Z_]+=\S*", word)]
                    if words and words[0].rsplit("/", 1)[-1] == program:
                        yield page.name, part


@pytest.mark.parametrize(("page", "command"), [pytest.param(*each, id=each[1]) for each in shown("playhead")])
def test_every_command_shown_is_there_with_its_options(page: str, command: str) -> None:
    words = list(takewhile(lambda word: word not in {">", ">>", "<", "&"}, shlex.split(command)))
    words = [word for word in words if not re.fullmatch(r"[A-Z_]+=.*", word)][1:]
    found: click.Command = typer.main.get_command(app)
    parent: click.Context | None = None
    name = "playhead"
    while isinstance(found, click.Group) and words and words[0] in found.commands:
        parent = click.Context(found, parent=parent, info_name=name)
        name, words = words[0], words[1:]
        found = parent.command.commands[name]  # type: ignore[attr-defined]

    assert not isinstance(found, click.Group) or not words, f"{page}: {command}: no command {words}"
    if words != ["--help"]:
        found.make_context(name, words, parent=parent)


@pytest.mark.parametrize(("page", "command"), [pytest.param(*each, id=each[1]) for each in shown("make")])
def test_every_target_shown_is_in_the_makefile(page: str, command: str) -> None:
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)

    assert set(shlex.split(command)[1:]) <= set(targets), page


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    missing = [
        link for link in LINK.findall(page.read_text(encoding="utf-8")) if not (page.parent / link).exists()
    ]

    assert missing == []
