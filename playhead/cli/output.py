"""How commands speak: Rich for people, JSON lines for scripts, exit codes that mean something."""

from __future__ import annotations

import sys
from collections.abc import Callable
from enum import IntEnum
from functools import wraps
from typing import Annotated, Any, ParamSpec, TypeVar

import msgspec
import typer
from rich.console import Console
from rich.markup import escape

from config import ConfigError
from topics import PlayheadError

P = ParamSpec("P")
T = TypeVar("T")

people = Console()
"""Where results for people go."""

notes = Console(stderr=True)
"""Where progress, warnings and errors go, so that standard output stays clean for pipes."""

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, one value a line, for scripts.")]


class Exit(IntEnum):
    """What the exit code of a command means."""

    OK = 0
    FAILED = 1
    """The command ran and the answer is no: a check failed, a record was refused."""
    USAGE = 2
    """The command was called wrongly, or a setting cannot be used."""
    UNAVAILABLE = 3
    """Something it needs cannot be reached: the broker, Redis, a file."""


def print_json(value: Any) -> None:
    """Print one line of JSON on standard output."""
    sys.stdout.buffer.write(msgspec.json.encode(value) + b"\n")
    sys.stdout.buffer.flush()


def fail(message: str, code: Exit = Exit.FAILED) -> typer.Exit:
    """Tell what went wrong and return the exception that ends the command: ``raise fail(...)``."""
    notes.print(f"[bold red]error:[/] {escape(message)}", highlight=False, soft_wrap=True)
    return typer.Exit(int(code))


def tells_errors(command: Callable[P, T]) -> Callable[P, T]:
    """Turn the errors Playhead raises on purpose into a line and an exit code."""

    @wraps(command)
    def told(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return command(*args, **kwargs)
        except ConfigError as error:
            raise fail(str(error), Exit.USAGE) from error
        except PlayheadError as error:
            raise fail(str(error), getattr(error, "exit_code", Exit.FAILED)) from error

    return told
