"""What holds of every command."""

from __future__ import annotations

import re
from collections.abc import Iterator

import click
import pytest
import typer
from command_line import CommandLine

from playhead.cli import app


def commands(
    group: click.Command, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    # Typer brings its own copy of click: what has commands is a group.
    inner = getattr(group, "commands", None)
    if inner is None:
        yield path, group
        return
    for name, command in inner.items():
        yield from commands(command, (*path, name))


COMMANDS = list(commands(typer.main.get_command(app)))
each = pytest.mark.parametrize(("path", "command"), COMMANDS, ids=[" ".join(path) for path, _ in COMMANDS])


def test_there_are_commands() -> None:
    assert {("topics", "list"), ("dead-letters", "redrive"), ("config", "show")} <= {
        path for path, _ in COMMANDS
    }


@each
def test_help_ends_in_a_line_to_copy(path: tuple[str, ...], command: click.Command) -> None:
    lines = [line.strip() for line in (command.help or "").strip().splitlines()]

    example = re.fullmatch(r"Example: \[bold\](?P<line>.+)\[/\]", lines[-1])

    assert len(lines) > 1, "help says nothing before its example"
    assert example is not None
    assert f"playhead {' '.join(path)}" in example["line"]


@each
def test_help_can_be_shown(path: tuple[str, ...], command: click.Command) -> None:
    result = CommandLine({})(*path, "--help")

    assert result.exit_code == 0
    assert "Example:" in result.stdout


@each
def test_every_option_and_argument_says_what_it_is_for(path: tuple[str, ...], command: click.Command) -> None:
    silent = [
        parameter.name
        for parameter in command.params
        if not getattr(parameter, "hidden", False) and not getattr(parameter, "help", None)
    ]

    assert silent == []
