"""The `playhead` command as a person or a script calls it, against a given broker."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from click.testing import Result
from typer.testing import CliRunner

from playhead.cli import app
from playhead.cli.output import notes, people

WIDE = 250


class CommandLine:
    """Calls commands with settings of its own.

    Args:
        environment: what PLAYHEAD_… variables say; those of the machine are left out.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment

    def __call__(self, *arguments: str) -> Result:
        """Run ``playhead`` with `arguments`; the result has exit code, standard output and error."""
        people.width = notes.width = WIDE
        return CliRunner().invoke(app, list(arguments), env=dict(self._environment))

    def json(self, *arguments: str) -> list[Any]:
        """Run ``playhead`` with `arguments` and ``--json`` and return what it printed, a value a line."""
        result = self(*arguments, "--json")
        return [json.loads(line) for line in result.stdout.splitlines()]
