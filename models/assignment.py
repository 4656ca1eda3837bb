"""Who takes part in which experiment, and in which variant: decided by hash, so the same answer everywhere.

Nothing is stored. A viewer's place in an experiment is a uniform number made of the experiment's id and the
viewer's, so experiments are independent of one another; a second number, independent of the first, chooses
the variant, so admitting more traffic leaves those already admitted where they are.

Experiments of one layer exclude one another: the layer gives each viewer one place for all of them, and each
experiment owns the stretch [layer_start, layer_start + traffic) of it. Stretches are stated and not dealt out
by order, so an experiment that comes or goes moves no viewer of another. Where two overlap, the one whose id
comes first has the overlap, and the conflict is told.

Source of layers: Tang, Agarwal, O'Brien, Meyer, "Overlapping Experiment Infrastructure: More, Better, Faster
Experimentation", KDD 2010.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from hashlib import blake2b
from itertools import accumulate, combinations
from typing import NamedTuple

from topics.experiments import Experiment, ExperimentStatus

_BITS = 53
"""Of a hash: as many as a float holds exactly."""


class Conflict(NamedTuple):
    """Two active experiments of one layer that want the same viewers."""

    layer: str
    first: str
    """The one that has them."""
    second: str
    share: float
    """Of all viewers."""


class _Seat(NamedTuple):
    experiment: Experiment
    bounds: list[float]
    """Where each variant but the first begins."""


class Assigner:
    """Assigns viewers to the active experiments among `experiments`.

    Example:
        >>> from topics.experiments import Variant
        >>> halves = [Variant(name="a", share=0.5), Variant(name="b", share=0.5)]
        >>> trial = Experiment(time_ms=0, experiment="trial", traffic=1.0, control="a", variants=halves,
        ...                    metrics=["plays"], status=ExperimentStatus.ACTIVE)
        >>> assigner = Assigner([trial])
        >>> assigner.assign("v-1") == assigner.assign("v-1")
        True
        >>> sum(assigner.assign(f"v-{i}")["trial"] == "b" for i in range(1000))
        507
    """

    def __init__(self, experiments: Iterable[Experiment]) -> None:
        active = sorted(
            (each for each in experiments if each.status is ExperimentStatus.ACTIVE),
            key=lambda each: each.experiment,
        )
        self._alone = [_seat(each) for each in active if not each.layer]
        self._layers: dict[str, list[_Seat]] = {}
        for each in active:
            if each.layer:
                self._layers.setdefault(each.layer, []).append(_seat(each))

    def assign(self, viewer: str) -> dict[str, str]:
        """Return the variant of each experiment that admits `viewer`, by experiment."""
        assigned = {}
        for seat in self._alone:
            place, draw = _two_uniforms("experiment", seat.experiment.experiment, viewer)
            if place < seat.experiment.traffic:
                assigned[seat.experiment.experiment] = _variant(seat, draw)
        for layer, seats in self._layers.items():
            place, _ = _two_uniforms("layer", layer, viewer)
            for seat in seats:
                if _start(seat.experiment) <= place < _end(seat.experiment):
                    _, draw = _two_uniforms("experiment", seat.experiment.experiment, viewer)
                    assigned[seat.experiment.experiment] = _variant(seat, draw)
                    break
        return assigned

    def conflicts(self) -> list[Conflict]:
        """Return every pair of active experiments whose stretches of a layer overlap."""
        return [
            Conflict(layer, one.experiment, other.experiment, share)
            for layer, seats in self._layers.items()
            for one, other in combinations([seat.experiment for seat in seats], 2)
            if (share := min(_end(one), _end(other)) - max(_start(one), _start(other))) > 0
        ]


def _seat(experiment: Experiment) -> _Seat:
    shares = [variant.share for variant in experiment.variants]
    # The last bound would be 1 but for rounding: without it no viewer falls beside the variants.
    return _Seat(experiment, list(accumulate(shares))[:-1])


def _variant(seat: _Seat, draw: float) -> str:
    return seat.experiment.variants[bisect_right(seat.bounds, draw)].name


def _start(experiment: Experiment) -> float:
    return experiment.layer_start


def _end(experiment: Experiment) -> float:
    return experiment.layer_start + experiment.traffic


def _two_uniforms(*salt: str) -> tuple[float, float]:
    """Two independent numbers in [0, 1) that are the same for the same salt, in every process."""
    digest = blake2b("\x1f".join(salt).encode(), digest_size=16).digest()
    return tuple(  # type: ignore[return-value]
        (int.from_bytes(half) >> (64 - _BITS)) / (1 << _BITS) for half in (digest[:8], digest[8:])
    )
