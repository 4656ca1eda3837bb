"""What the gateway is made of: parts, each with routes and what must run behind them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from fastapi import APIRouter

from config import Settings


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a part may need to be made.

    Args:
        settings: all of them.
        client: settings of the Kafka client, with ``bootstrap.servers``.
    """

    settings: Settings
    client: Mapping[str, Any]


class Part(Protocol):
    """One subject of the gateway. It keeps nothing that another instance could not make again from topics."""

    @property
    def router(self) -> APIRouter:
        """Its routes."""

    @property
    def problem(self) -> str:
        """Why it cannot serve well just now; empty where it can."""

    async def start(self) -> None:
        """Begin what runs behind the routes. It does not wait for the broker: players come at any time."""

    async def stop(self) -> None:
        """End it, with nothing lost that was acknowledged."""
