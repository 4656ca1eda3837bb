"""What agents ask of the application that runs them.

The application is Faust's, with three things added: hot lanes, which hand over whole batches of one
partition, views, which keep the newest record of each key of a compacted topic, and a cache. Agents see them
through these protocols, so that tests pass in their own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from topics.emission import Emission
from topics.spec import AnySpec, TopicSpec

R_co = TypeVar("R_co", covariant=True)


class Publish(Protocol):
    """Sends emissions and returns once the broker has acknowledged them all."""

    async def __call__(self, emissions: Sequence[Emission]) -> None:
        """Send `emissions`, each with its key.

        It waits for the broker however long it is away. A record too large for its topic goes to the dead
        letters in its place.

        Raises:
            PlayheadError: the broker will not take one of them. What caused them is not done, and whoever
                sent them must not go on.
        """


class View(Protocol[R_co]):
    """The newest record of each key of a compacted topic, kept up to date in the background."""

    def get(self, key: str) -> R_co | None:
        """Return the newest record of `key`."""

    def values(self) -> Iterable[R_co]:
        """Return the newest record of every key."""


class Batch(Protocol):
    """Records of one partition, in order. Columns are made when first asked for."""

    @property
    def topic(self) -> str:
        """The topic's name without the run's prefix."""

    @property
    def partition(self) -> int:
        """The partition all records come from."""

    @property
    def keys(self) -> list[bytes | None]: ...

    @property
    def values(self) -> list[bytes | None]: ...

    @property
    def offsets(self) -> list[int]: ...

    @property
    def times_ms(self) -> list[int]:
        """The broker's times."""

    @property
    def packed(self) -> list[bool]:
        """Whether each record carries many events."""

    def refuse(self, index: int, reason: str, packed_index: int | None = None) -> None:
        """Send record `index`, or one event of it, to the dead letters."""

    def tally(self, *, processed: int, late: int = 0) -> None:
        """Count the events inside the records that were taken, and those of the refused that came late."""

    def __len__(self) -> int: ...


class LaneProcessor(Protocol):
    """Turns batches of one partition into emissions. What it emits must not depend on where batches end."""

    def process(self, batch: Batch) -> list[Emission]:
        """Take `batch` in and return what follows from it."""

    def idle(self) -> list[Emission]:
        """The partition has nothing more to read for now; said again and again while that is so."""

    def awake(self) -> list[Emission]:
        """The partition that was said to be idle has records again."""

    def snapshot(self) -> bytes:
        """Return all that is known, or nothing where there is no state."""

    def restore(self, data: bytes) -> None:
        """Know again what `snapshot` told."""


class Cache(Protocol):
    """Bytes by key, for a while. A cache that cannot be reached has nothing and stops nobody."""

    async def put(self, key: str, value: bytes, ttl_s: float) -> None:
        """Keep `value` for `ttl_s` seconds, in place of what `key` had."""

    async def get(self, key: str) -> bytes | None:
        """Return what `key` has, or None."""

    async def invalidate(self, key: str) -> None:
        """Drop what `key` has: no later `get` returns it."""

    async def invalidate_prefix(self, prefix: str) -> None:
        """Drop what every key that begins with `prefix` has."""


class App(Protocol):
    """Faust's application with lanes, views and a cache; what is not named here is Faust's."""

    cache: Cache
    client: Mapping[str, Any]
    """Settings of the Kafka client."""
    topic: Callable[..., Any]
    agent: Callable[..., Any]
    Table: Callable[..., Any]
    timer: Callable[..., Any]
    crash: Callable[..., Any]

    def lane(self, name: str, spec: AnySpec, make: Callable[[int, int], LaneProcessor]) -> None:
        """Run `make(partition, partitions)` over each assigned partition of `spec`, as a group of its own."""

    def view(self, spec: TopicSpec[Any]) -> View[Any]:
        """Follow the compacted topic `spec`."""

    def serve(self, service: Any) -> None:
        """Run a service of mode's beside the agents, after views have caught up."""
