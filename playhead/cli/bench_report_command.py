"""`playhead bench report`: write the tables of a document from the JSON of runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from playhead.cli.output import AsJson, people, print_json, tells_errors


@tells_errors
def bench_report(
    results: Annotated[list[Path], typer.Argument(help="JSON written by `playhead bench` with -o.")],
    into: Annotated[Path, typer.Option(help="The document.")] = Path("docs/benchmarks.md"),
    as_json: AsJson = False,
) -> None:
    """Put the tables of results into a document, in place of the ones it has.

    Example: [bold]playhead bench report engine.json scaling.json --into docs/benchmarks.md[/]
    """
    from playhead.bench.report import write_into

    kinds = write_into(into, results)
    if as_json:
        print_json({"document": str(into), "written": kinds})
        return
    people.print(f"{into}: wrote {', '.join(kinds)}")
