"""Where a worker is measured: topics of its own, there for the run and gone after it."""

from __future__ import annotations

import time
from collections.abc import Callable

from confluent_kafka.admin import AdminClient

from config import Settings
from playhead.brokers import client_config
from playhead.topics_admin import TopicsAdmin, wanted
from topics import ALL
from topics.errors import PlayheadError
from topics.spec import AnySpec

ADMIN_TIMEOUT_S = 30.0
BROKER = "PLAYHEAD_BROKERS"

Report = Callable[[str], None]
"""Told what is being done, a line at a time."""


class MeasureError(PlayheadError):
    """What was to be measured did not come about; the text says what did not."""


class Arena:
    """The topics that the agents of `names` read and write, under a prefix of their own.

    Args:
        settings: with the broker to use.
        name: of what is measured, for the prefix.
        agents: names of agents.
    """

    def __init__(self, settings: Settings, name: str, *agents: str) -> None:
        prefix = f"bench-{name}-{int(time.time())}."
        self.settings = settings.model_copy(update={"prefix": prefix})
        specs = [spec for spec in ALL if _concerns(spec, agents)]
        self._topics = wanted(specs, prefix)

    @property
    def environment(self) -> dict[str, str]:
        """``PLAYHEAD_…`` variables of a worker in it."""
        return {
            "PLAYHEAD_PREFIX": self.settings.prefix,
            BROKER: str(client_config(self.settings)["bootstrap.servers"]),
            "PLAYHEAD_REDIS_URL": "memory://",
        }

    def __enter__(self) -> Arena:
        admin = TopicsAdmin(client_config(self.settings), self.settings.engine.replication_factor)
        admin.create(self._topics)
        return self

    def __exit__(self, *_: object) -> None:
        admin = AdminClient(client_config(self.settings))
        for future in admin.delete_topics([topic.name for topic in self._topics]).values():
            future.result(ADMIN_TIMEOUT_S)


def _concerns(spec: AnySpec, agents: tuple[str, ...]) -> bool:
    return (
        spec.internal or spec.name == "dead-letters" or bool({*spec.producers, *spec.consumers} & {*agents})
    )
