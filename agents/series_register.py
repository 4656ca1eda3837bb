"""Which series a partition has, and where each is kept."""

from __future__ import annotations

from collections.abc import Callable

from topics.fields import MAX_SERIES_NAME

Identity = tuple[str, str, dict[str, str]]
"""Service, metric and tags."""


class SeriesRefusedError(ValueError):
    """There is no room for another series, or its name is too long."""


class SeriesRegister:
    """Which slot each series has. Slots of forgotten series are given away again.

    Args:
        most: series at once.
        open_slot: told of the slot, the metric and the broker's time of each new series.
    """

    def __init__(self, most: int, open_slot: Callable[[int, str, int], None]) -> None:
        self._most = most
        self._open_slot = open_slot
        self._free: list[int] = []
        self.slots: dict[bytes, int] = {}
        """By the series' name."""
        self.names: list[bytes] = []
        """By slot; a free one is empty."""
        self.identities: list[Identity | None] = []
        """What the newest record that was read by itself said, by slot."""

    def __len__(self) -> int:
        return len(self.slots)

    def name(self, slot: int) -> str:
        """Return the name of the series that holds a slot."""
        return self.names[slot].decode()

    def slot(self, series: str, metric: str, arrived_ms: int) -> int:
        """Return the slot of a series; a new one is opened.

        Raises:
            SeriesRefusedError: it is new, and there is no room or its name is too long.
        """
        name = series.encode()
        slot = self.slots.get(name)
        if slot is not None:
            return slot
        if len(series) > MAX_SERIES_NAME:
            raise SeriesRefusedError(
                f"series {series[:40]!r}... has a name of {len(series):,} characters; "
                f"{MAX_SERIES_NAME:,} are the most: give it fewer or shorter tags"
            )
        if len(self.slots) >= self._most:
            raise SeriesRefusedError(
                f"series {series!r} is one too many: the partition has {self._most} (detection.max_series)"
            )
        if self._free:
            slot = self._free.pop()
        else:
            slot = len(self.names)
            self.names.append(b"")
            self.identities.append(None)
        self.names[slot] = name
        self.slots[name] = slot
        self._open_slot(slot, metric, arrived_ms)
        return slot

    def free(self, slot: int) -> None:
        """Forget the series that holds a slot."""
        del self.slots[self.names[slot]]
        self.names[slot] = b""
        self.identities[slot] = None
        self._free.append(slot)

    def restore(self, names: list[bytes]) -> None:
        """Know again the names by slot."""
        self.names = names
        self.slots = {name: slot for slot, name in enumerate(names) if name}
        self.identities = [None] * len(names)
        self._free = [slot for slot, name in enumerate(names) if not name]
