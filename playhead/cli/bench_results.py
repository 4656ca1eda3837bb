"""What every benchmark offers beside its table: the result as JSON, drawn, and the command that made it."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, TypeVar

import msgspec
import typer

T = TypeVar("T")

Output = Annotated[Path | None, typer.Option("-o", help="Write the JSON here too.")]
Picture = Annotated[Path | None, typer.Option(help="Draw the run as SVG here.")]


def called() -> str:
    """Return the command line, as one would type it again."""
    return shlex.join(["playhead", *sys.argv[1:]])


def write_json(result: object, output: Path | None) -> None:
    """Write the whole result where that was asked for."""
    if output is not None:
        output.write_bytes(msgspec.json.format(msgspec.json.encode(result), indent=2) + b"\n")


def write_picture(result: T, picture: Path | None, draw: Callable[[T], str]) -> None:
    """Draw the result where that was asked for."""
    if picture is not None:
        picture.write_text(draw(result), encoding="utf-8")
