"""How much the figures of localisation matter: chosen on one half of labelled incidents, judged on the other.

    python scripts/tune_localisation.py FOLDER [--draws 200] [--seed 0]

With no draws, only the figures as shipped are scored.

FOLDER holds incidents.json and minutes/. Figures are drawn independently from the ranges below. Printed: the
spread of the hits over all draws; then, for the even and the odd positions of incidents.json and for random
halves, the draw that does best on that half and what it scores on the other half.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from config import load
from config.localisation import LocalisationFigures
from models.localisation import Cells, localise
from playhead.incident_file import read_windows

RANGES: dict[str, tuple[float, ...]] = {
    "drift": (0.05, 0.1, 0.15, 0.2, 0.3),
    "least_effect": (0.1, 0.15, 0.2, 0.25, 0.3, 0.35),
    "most_effect": (1.2, 1.5, 2.0),
    "finer_log_odds": (0.0, 0.5, 1.0, 1.5, 2.0),
    "several_log_odds": (0.0, -1.0, -2.0, -4.0),
    "temperature": (1.0, 2.0, 3.0),
    "doubtful_credit": (0.003, 0.01, 0.03, 0.1),
    "share_weight": (1.0, 2.0, 3.0),
    "another_cell_credit": (0.05, 0.1, 0.2, 0.3),
    "everyone_credit": (0.1, 0.2, 0.3),
    "cousin_credit": (0.1, 0.3, 1.0),
    "least_share": (0.08, 0.1, 0.12),
    "history_windows": (8, 12, 16, 24),
    "shrinkage_viewers": (10.0, 30.0, 100.0),
    "clip_sigmas": (2.0, 3.0, 4.0),
}
KS = (1, 3, 5, 10)
Ranks = NDArray[np.int64]


def rank(causes: list[dict[str, str]], windows: list[Cells], figures: LocalisationFigures) -> int:
    """How many answers it takes until all labelled causes are among them; 99 when they never are."""
    answers = [cause.cell for cause in localise(windows[-1], windows[:-1], figures)]
    return max(answers.index(cause) + 1 if cause in answers else 99 for cause in causes)


def hits(ranks: Ranks) -> str:
    return " / ".join(f"{(ranks <= k).mean():.3f}" for k in KS)


def chosen(ranks: Ranks, half: NDArray[np.bool_]) -> int:
    """The draw with the most hits on this half, those of all K together."""
    return int(np.sum([(ranks[:, half] <= k).mean(1) for k in KS], axis=0).argmax())


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--draws", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()

    incidents = json.loads((args.folder / "incidents.json").read_text())
    windows = [read_windows(args.folder / "minutes" / i["file"], i["minute"]) for i in incidents]
    shipped = load({}).settings.localisation
    even = np.arange(len(incidents)) % 2 == 0

    def ranks_with(figures: LocalisationFigures) -> Ranks:
        return np.array([rank(i["cause"], w, figures) for i, w in zip(incidents, windows, strict=True)])

    ours = ranks_with(shipped)
    print(f"top-{'/'.join(map(str, KS))}; figures as shipped")
    print(f"  all  {hits(ours)}\n  even {hits(ours[even])}\n  odd  {hits(ours[~even])}")

    if args.draws:
        compare(args.draws, args.seed, shipped, ranks_with)


def compare(
    count: int, seed: int, shipped: LocalisationFigures, ranks_with: Callable[[LocalisationFigures], Ranks]
) -> None:
    """Print what random figures score, and what the best of them on one half score on the other."""
    rng = np.random.default_rng(seed)
    draws = [
        shipped.model_copy(
            update={name: values[rng.integers(len(values))] for name, values in RANGES.items()}
        )
        for _ in range(count)
    ]
    ranks = np.stack([ranks_with(figures) for figures in draws])
    incidents = ranks.shape[1]
    even = np.arange(incidents) % 2 == 0
    for k in (1, 5):
        share = (ranks <= k).mean(1)
        print(
            f"{count} random figures, top-{k}: mean {share.mean():.3f}, deviation {share.std():.3f}, "
            f"least {share.min():.3f}, most {share.max():.3f}"
        )
    for name, half in (("even", even), ("odd", ~even)):
        best = ranks[chosen(ranks, half)]
        print(f"best on {name}: {hits(best[half])}; on the others: {hits(best[~half])}")
    others = []
    for _ in range(500):
        half = np.zeros(incidents, bool)
        half[rng.permutation(incidents)[: incidents // 2]] = True
        best = ranks[chosen(ranks, half)]
        others.append([(best[~half] <= k).mean() for k in KS])
    print(
        "best on a random half, on the others: "
        + " / ".join(f"{m:.3f}±{s:.3f}" for m, s in zip(np.mean(others, 0), np.std(others, 0), strict=True))
    )


if __name__ == "__main__":
    main()
