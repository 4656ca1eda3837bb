"""Services that somebody else runs: they are asked, never started or stopped."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, Literal, NoReturn

from playhead.engine.errors import EngineError, UnreachableError
from playhead.engine.local_kafka import kafka_answers

ANSWER_TIMEOUT_S = 5.0


class _Given(ABC):
    origin: ClassVar[Literal["given"]] = "given"
    variable: ClassVar[str]

    def __init__(self, address: str) -> None:
        self.address = address

    @abstractmethod
    def answers(self) -> bool:
        """Whether it answers."""

    def start(self) -> bool:
        """Make sure it answers; always False, for nothing is started.

        Raises:
            UnreachableError: it does not answer.
        """
        if not self.answers():
            raise UnreachableError(
                f"{self.variable} = {self.address!r}: nothing answers there within {ANSWER_TIMEOUT_S:g} s. "
                "Check the address, or unset the variable to have one started"
            )
        return False

    def stop(self) -> NoReturn:
        """Refuse.

        Raises:
            EngineError: always.
        """
        raise EngineError(
            f"{self.variable} = {self.address!r} was given, so stopping it is not up to Playhead"
        )

    kill = stop


class GivenKafka(_Given):
    """The Kafka at an address (`host:port,…`)."""

    variable = "PLAYHEAD_BROKERS"

    def answers(self) -> bool:
        """Whether it answers for its metadata."""
        return kafka_answers(self.address, ANSWER_TIMEOUT_S)


class GivenRedis(_Given):
    """The Redis at a URL."""

    variable = "PLAYHEAD_REDIS_URL"

    def answers(self) -> bool:
        """Whether it answers a ping."""
        import redis

        timeouts = {"socket_timeout": ANSWER_TIMEOUT_S, "socket_connect_timeout": ANSWER_TIMEOUT_S}
        try:
            with redis.Redis.from_url(self.address, **timeouts) as client:
                return bool(client.ping())
        except ValueError as error:
            raise UnreachableError(f"{self.variable} = {self.address!r}: {error}") from error
        except redis.RedisError:
            return False
