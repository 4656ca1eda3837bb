"""A rolling window: the last samples of a series in a ring of fixed size."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from models.anomaly.state import Stateful


@dataclass
class RollingWindow(Stateful):
    """The last `size` values, in no particular order.

    Example:
        >>> window = RollingWindow(size=3)
        >>> for value in (1.0, 2.0, 3.0, 4.0):
        ...     window.push(value)
        >>> sorted(window.values.tolist())
        [2.0, 3.0, 4.0]
    """

    size: int
    pushed: int = field(init=False, default=0)
    _ring: npt.NDArray[np.float64] = field(init=False)

    def __post_init__(self) -> None:
        self._ring = np.zeros(self.size)

    def __len__(self) -> int:
        return min(self.pushed, self.size)

    @property
    def values(self) -> npt.NDArray[np.float64]:
        """What the window holds, float64[len]; a view, not to be kept."""
        return self._ring[: len(self)]

    def push(self, value: float) -> None:
        """Add a value; the oldest leaves a full window."""
        self._ring[self.pushed % self.size] = value
        self.pushed += 1

    def clear(self) -> None:
        """Forget everything."""
        self.pushed = 0
