"""What a decision publishes: a record and the topic it goes to."""

from __future__ import annotations

from typing import NamedTuple

from topics.fields import Record
from topics.spec import AnySpec


class Emission(NamedTuple):
    """One record on its way out."""

    spec: AnySpec
    record: Record

    @property
    def key(self) -> str:
        """The Kafka key that the topic's contract asks for."""
        return str(self.spec.key_of(self.record))
