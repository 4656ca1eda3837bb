"""Who gets which partition, what moves when workers come and go, and what hot keys do to it. Pure, seeded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Literal

import msgspec
import numpy as np
import numpy.typing as npt

from playhead.packing import partition_of

Owners = npt.NDArray[np.int64]
"""int64[partitions]: the worker of each partition, by a number that it keeps."""

Floats = npt.NDArray[np.float64]
Assign = Callable[[Owners, Sequence[int]], Owners]

_HASHES: Final = 1 << 31


class Moves(msgspec.Struct, frozen=True, kw_only=True):
    """What one strategy does when a worker comes or goes."""

    strategy: str
    partitions: int
    workers: int
    """Before the change."""
    change: str
    moved: float
    """Partitions that change hands between workers that are there before and after; mean of the trials."""
    needed: float
    """What had to move: what the new worker gets, or the old one leaves."""
    most: int
    """Partitions of the worker that has most, after it."""
    least: int


class HotKeys(msgspec.Struct, frozen=True, kw_only=True):
    """What a skewed popularity of keys makes of partitions and workers."""

    exponent: float
    """Of Zipf's law: the n-th key has a share proportional to 1 / n to this power."""
    partitions: int
    workers: int
    split: int
    """Parts into which each hot key is split; 1 for none."""
    hottest_key: float
    """Share of all events, of one key or part."""
    hottest_partition: float
    hottest_worker: float
    usable: float
    """Share of all workers' capacity in use when the hottest worker has no more."""


class Assignment(msgspec.Struct, frozen=True, kw_only=True):
    """All of a simulation."""

    kind: Literal["assignment"] = "assignment"
    keys: int
    seed: int
    moves: list[Moves]
    hot_keys: list[HotKeys]


def assign_range(before: Owners, workers: Sequence[int]) -> Owners:
    """Give each worker a run of neighbouring partitions, as Kafka's range assignor does for one topic.

    >>> assign_range(np.zeros(5, np.int64), [7, 8]).tolist()
    [7, 7, 7, 8, 8]
    """
    runs = np.array_split(np.arange(len(before)), len(workers))
    return np.repeat(np.array(workers), [len(run) for run in runs])


def assign_round_robin(before: Owners, workers: Sequence[int]) -> Owners:
    """Deal the partitions out in turn.

    >>> assign_round_robin(np.zeros(5, np.int64), [7, 8]).tolist()
    [7, 8, 7, 8, 7]
    """
    return np.array(workers)[np.arange(len(before)) % len(workers)]


def assign_sticky(before: Owners, workers: Sequence[int]) -> Owners:
    """Leave partitions where they are as far as balance allows, as the cooperative-sticky assignor does.

    >>> assign_sticky(np.array([7, 7, 7, 8, 8]), [7, 8, 9]).tolist()
    [7, 7, 9, 8, 8]
    """
    least, extra = divmod(len(before), len(workers))
    held = {worker: np.flatnonzero(before == worker).tolist() for worker in workers}
    # Those that hold most keep the partitions that do not divide evenly.
    by_size = sorted(workers, key=lambda worker: -len(held[worker]))
    quota = {worker: least + (rank < extra) for rank, worker in enumerate(by_size)}
    after = np.full(len(before), -1)
    for worker in workers:
        after[held[worker][: quota[worker]]] = worker
    free = iter(np.flatnonzero(after < 0).tolist())
    for worker in workers:
        for _ in range(quota[worker] - int((after == worker).sum())):
            after[next(free)] = worker
    return after


STRATEGIES: Final[dict[str, Assign]] = {
    "range": assign_range,
    "round robin": assign_round_robin,
    "cooperative-sticky": assign_sticky,
}


def moves(partitions: int, workers: int, trials: int, seed: int) -> list[Moves]:
    """Let a worker join, and another group's worker leave; return what each strategy moves.

    Kafka sorts members by ids that are random, so a new one may come in anywhere; `trials` are averaged.
    """
    found = []
    for name, assign in STRATEGIES.items():
        for change in ("joins", "leaves"):
            rng = np.random.default_rng(seed)
            moved, needed, most, least = [], [], 0, partitions
            for _ in range(trials):
                ids = rng.permutation(workers + 1).tolist()
                now, later = (ids[:-1], ids) if change == "joins" else (ids, ids[:-1])
                now, later = sorted(now), sorted(later)
                before = assign(assign_round_robin(np.zeros(partitions, np.int64), now), now)
                after = assign(before, later)
                stay = set(now) & set(later)
                both = np.isin(before, list(stay)) & np.isin(after, list(stay))
                moved.append(int(((before != after) & both).sum()))
                needed.append(int((~both).sum()))
                counts = [int((after == worker).sum()) for worker in later]
                most, least = max(most, *counts), min(least, *counts)
            found.append(
                Moves(
                    strategy=name,
                    partitions=partitions,
                    workers=workers + (change == "leaves"),
                    change=f"a worker {change}",
                    moved=float(np.mean(moved)),
                    needed=float(np.mean(needed)),
                    most=most,
                    least=least,
                )
            )
    return found


def shares(keys: int, exponent: float) -> Floats:
    """Return the share of all events that each key has, the hottest first.

    >>> shares(2, 1.0).round(3).tolist()
    [0.667, 0.333]
    """
    weights: Floats = np.arange(1, keys + 1, dtype=np.float64) ** -exponent
    weights /= weights.sum()
    return weights


def hashes_of(names: Sequence[str]) -> Owners:
    """Return the hash of each key by which Kafka places it."""
    return np.array([partition_of(name.encode(), _HASHES) for name in names])


class Keys:
    """Keys in a random order of popularity, with their places.

    Args:
        count: how many.
        most_split: into how many parts a key may be split.
        seed: of the order.
    """

    def __init__(self, count: int, most_split: int, seed: int) -> None:
        names = [f"service-{number // 10}/latency_p99_{number % 10}_ms" for number in range(count)]
        self.count = count
        self._hashes = hashes_of(names)[np.random.default_rng(seed).permutation(count)]
        # Hot keys are few: the parts of the first ones are enough.
        self._parts = np.array(
            [
                hashes_of([f"hot-{rank}#{part}" for part in range(most_split)])
                for rank in range(min(count, 200))
            ]
        )

    def load(self, exponent: float, partitions: int, workers: int, split: int) -> HotKeys:
        """Return how evenly events spread, the hot keys split into so many parts.

        A key is hot whose share exceeds a fifth of what a worker has on average.
        """
        share = shares(self.count, exponent)
        hot = min(int((share > 0.2 / workers).sum()), len(self._parts)) if split > 1 else 0
        weights = np.concatenate((np.repeat(share[:hot] / split, split), share[hot:]))
        places = np.concatenate((self._parts[:hot, :split].ravel(), self._hashes[hot:])) % partitions
        of_partition = np.bincount(places, weights, minlength=partitions)
        owners = assign_round_robin(np.zeros(partitions, np.int64), range(workers))
        of_worker = np.bincount(owners, of_partition, minlength=workers)
        return HotKeys(
            exponent=exponent,
            partitions=partitions,
            workers=workers,
            split=split,
            hottest_key=float(weights.max()),
            hottest_partition=float(of_partition.max()),
            hottest_worker=float(of_worker.max()),
            usable=float(1.0 / (workers * of_worker.max())),
        )


def simulate(
    *,
    workers: int,
    partitions: Sequence[int],
    exponents: Sequence[float],
    splits: Sequence[int],
    keys: int,
    trials: int,
    seed: int,
) -> Assignment:
    """Return what strategies move and what hot keys do, over all combinations."""
    known = Keys(keys, max(splits), seed)
    return Assignment(
        keys=keys,
        seed=seed,
        moves=[row for many in partitions for row in moves(many, workers, trials, seed)],
        hot_keys=[
            known.load(exponent, many, workers, split)
            for exponent in exponents
            for split in splits
            for many in partitions
        ],
    )
