"""Choose the recordings that the demo ships and pack them into playhead/demo/data.

Usage: python scripts/pack_demo_data.py QOE_INCIDENTS_FOLDER NAB_FOLDER

Incidents: of those with at most MOST_VIEWERS viewers in their largest minute, in the order of their file
names, each kind of cause (the set of dimensions it names) gives its first, then each its second, and so on
until there are INCIDENTS_CHOSEN. Series: of each group of real ones the shortest that has a labelled window.
Neither rule looks at what Playhead makes of a recording.
"""

from __future__ import annotations

import gzip
import json
import sys
from collections import defaultdict
from itertools import zip_longest
from pathlib import Path
from typing import Any

from playhead.demo.data import INCIDENTS, SERIES, read_incident, read_series

MOST_VIEWERS = 12_000
INCIDENTS_CHOSEN = 12


def main(incidents_folder: Path, series_folder: Path) -> None:
    labels = choose_incidents(incidents_folder)
    for label in labels:
        pack(incidents_folder / "minutes" / label["file"], INCIDENTS / "minutes")
    write_json(INCIDENTS / "incidents.json", labels)
    names = choose_series(series_folder)
    for name in names:
        pack(series_folder / "data" / name, (SERIES / "data" / name).parent)
    windows = json.loads((series_folder / "combined_windows.json").read_text())
    write_json(SERIES / "combined_windows.json", {name: windows[name] for name in names})


def choose_incidents(folder: Path) -> list[dict[str, Any]]:
    kinds: dict[frozenset[str], list[dict[str, Any]]] = defaultdict(list)
    for label in sorted(json.loads((folder / "incidents.json").read_text()), key=lambda label: label["file"]):
        if read_incident(folder, label).most_viewers <= MOST_VIEWERS:
            kinds[frozenset(label["cause"][0])].append(label)
    rounds = zip_longest(*kinds.values())
    chosen = [label for each in rounds for label in each if label is not None][:INCIDENTS_CHOSEN]
    return sorted(chosen, key=lambda label: label["file"])


def choose_series(folder: Path) -> list[str]:
    groups: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for series in read_series(folder):
        group = series.file.split("/")[0]
        if group.startswith("real") and series.windows:
            groups[group].append((len(series.values), series.file))
    return [min(series)[1] for _, series in sorted(groups.items())]


def pack(source: Path, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    # No time and no name inside: packing again gives the same bytes.
    with (
        (folder / f"{source.name}.gz").open("wb") as file,
        gzip.GzipFile("", "wb", 9, file, mtime=0) as packed,
    ):
        packed.write(source.read_bytes())


def write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
