"""What is being told to each audience: the newest word on each, and which CDNs are suspect because of it."""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator, Mapping

from models.cell_index import CellIndex
from models.steering_order import share_at
from topics.steering import SteeringAnswer

SPARE_ENDS = 64


def asks(answer: SteeringAnswer) -> bool:
    """Whether `answer` asks anything of its audience; the default order asks nothing."""
    return bool(answer.pathway_priority) or answer.max_bitrate_kbps is not None


def expires_at(answer: SteeringAnswer) -> float:
    """Return when `answer` ends, Unix epoch in ms; never where it does not say."""
    return math.inf if answer.expires_ms is None else answer.expires_ms


class Audiences:
    """The answers of all audiences.

    One thread may `take` and `forget` while others ask.

    Example:
        >>> audiences = Audiences()
        >>> new = SteeringAnswer(time_ms=0, audience="isp=7", cell={"isp": "7"}, pathway_priority=["b", "a"],
        ...     away_from="a", ttl_s=10, generation=2, expires_ms=100)
        >>> audiences.take(new), audiences.take(new)
        (True, True)
        >>> [answer.audience for answer in audiences.in_force({"isp": "7", "device": "tv"}, 50)]
        ['isp=7']
        >>> audiences.is_suspect("a", 50), audiences.is_suspect("a", 100)
        (True, False)
    """

    def __init__(self) -> None:
        self._newest: dict[str, SteeringAnswer] = {}
        self._index: CellIndex[SteeringAnswer] = CellIndex()
        self._ends: dict[str, list[tuple[float, str, int]]] = {}
        """By CDN: when the moves away from it end, latest first, as (-end, audience, generation)."""

    def take(self, answer: SteeringAnswer) -> bool:
        """Take in `answer`, and return whether it holds: a lower generation never replaces a higher one."""
        known = self._newest.get(answer.audience)
        if known is not None and known.generation > answer.generation:
            return False
        self._newest[answer.audience] = answer
        if asks(answer):
            self._index.put(answer.audience, answer.cell, answer)
        else:
            self._index.drop(answer.audience)
        if answer.away_from and answer != known:
            ends = self._ends.setdefault(answer.away_from, [])
            heapq.heappush(ends, (-expires_at(answer), answer.audience, answer.generation))
            if len(ends) > 2 * len(self._newest) + SPARE_ENDS:
                # Renewals leave the ends before them behind, below those that lead.
                cdn = answer.away_from
                self._ends[cdn] = sorted(end for end in ends if self._holds(cdn, *end))
        self._prune()
        return True

    def forget(self, audience: str) -> None:
        """Nothing is told to `audience` any more."""
        if self._newest.pop(audience, None) is not None:
            self._index.drop(audience)
            self._prune()

    def in_force(self, cell: Mapping[str, str], now_ms: int) -> Iterator[SteeringAnswer]:
        """Yield what is asked of viewers in `cell` now, of the most specific audience first."""
        for answer in self._index.matching(cell):
            if share_at(answer, now_ms) > 0:
                yield answer

    def is_suspect(self, pathway: str, now_ms: int) -> bool:
        """Whether any audience is being moved away from `pathway`."""
        ends = self._ends.get(pathway)
        return bool(ends) and -ends[0][0] > now_ms  # type: ignore[index]

    def generation(self, audience: str) -> int:
        """Return the generation of the newest word on `audience`; -1 where there is none."""
        known = self._newest.get(audience)
        return -1 if known is None else known.generation

    def time_ms(self, audience: str) -> int:
        """Return the event time of the newest word on `audience`; 0 where there is none."""
        known = self._newest.get(audience)
        return 0 if known is None else known.time_ms

    def answers(self) -> list[SteeringAnswer]:
        """Return the newest word on every audience."""
        return list(self._newest.values())

    @property
    def ends_remembered(self) -> int:
        """How many ends of moves are kept, those of no more account included."""
        return sum(map(len, self._ends.values()))

    def __len__(self) -> int:
        return len(self._newest)

    def _prune(self) -> None:
        """Drop the ends that lead their heap and hold no more, so that whoever asks need only look."""
        for cdn, ends in self._ends.items():
            while ends and not self._holds(cdn, *ends[0]):
                heapq.heappop(ends)

    def _holds(self, cdn: str, end: float, audience: str, generation: int) -> bool:
        known = self._newest.get(audience)
        return (
            known is not None
            and known.generation == generation
            and known.away_from == cdn
            and -end == expires_at(known)
        )
