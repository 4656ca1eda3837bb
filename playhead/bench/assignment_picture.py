"""The picture of `playhead bench assignment`: what of the workers' capacity is usable under hot keys."""

from __future__ import annotations

from playhead.bench.svg import GREY, PANEL, bars, document, lines, text
from playhead.lab.assignment import Assignment


def draw(result: Assignment) -> str:
    """Return the simulation as SVG."""
    workers = result.hot_keys[0].workers
    parts = [text(20, 26, f"Hot keys: {result.keys:,} keys by Zipf's law over {workers} workers", size=16)]
    parts.append(
        text(20, 44, "share of all workers' capacity in use when the hottest has no more", fill=GREY)
    )
    y = 62.0
    splits = sorted({row.split for row in result.hot_keys})
    tallest = 0.0
    for number, split in enumerate(splits):
        rows = [row for row in result.hot_keys if row.split == split]
        at = sorted({row.partitions for row in rows})
        usable = {(row.exponent, row.partitions): row.usable for row in rows}
        names = sorted({row.exponent for row in rows})
        title = "by partitions, " + ("keys whole" if split == 1 else f"hot keys in {split} parts")
        drawn, height = lines(
            20 + (number % 2) * (PANEL + 10),
            y,
            title,
            [f"{each:,}" for each in at],
            {f"Zipf {name:g}": [usable[name, each] for each in at] for name in names},
            logarithmic=False,
        )
        parts += drawn
        tallest = max(tallest, height)
        if number % 2:
            y, tallest = y + tallest + 24, 0.0
    y += tallest + (24 if tallest else 0)
    joins = [row for row in result.moves if row.change == "a worker joins"]
    many = max(row.partitions for row in joins)
    rows_of = {row.strategy: row for row in joins if row.partitions == many}
    drawn, height = bars(
        20,
        y,
        f"partitions moved between workers that stay, one joins {workers} ({many:,} partitions)",
        {name: row.moved for name, row in rows_of.items()},
        {name: f"{row.moved:.1f}" for name, row in rows_of.items()},
    )
    return document(y + height + 20, [*parts, *drawn])
