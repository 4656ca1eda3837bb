"""Which cache node serves a request: the best one, its backups, and how long the start will take.

The score of a node is a weighted sum of proximity, health, content availability and load headroom, each in
[0, 1]. A backup must besides be below the load at which a node may still take traffic; the nearest come
first. Without any healthy node the least bad one is named: a player with an answer can at least try.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from config.sections import RoutingSettings

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
EARTH_RADIUS_KM = 6371.0
FIBRE_KM_PER_MS = 200.0
"""Light in fibre: 200,000 km/s."""


@dataclass(frozen=True, slots=True)
class Nodes:
    """The nodes that may serve, as columns of one length.

    `latitude_deg` and `longitude_deg` are where they stand; `health` and `load` are in [0, 1], `load` as a
    share of the capacity.
    """

    names: Sequence[str]
    latitude_deg: Floats
    longitude_deg: Floats
    health: Floats
    load: Floats


@dataclass(frozen=True, slots=True)
class Route:
    """Where a request goes."""

    node: str
    backups: list[str]
    """Nearest healthy first."""
    startup_ms: float
    """Estimate: round trips of the start and the time to fill the first buffer."""
    score: float


def distance_km(latitude_deg: float, longitude_deg: float, nodes: Nodes) -> Floats:
    """Return great-circle distances to the nodes, shape (nodes,) (haversine)."""
    here = np.radians([latitude_deg, longitude_deg])
    lat, lon = np.radians(nodes.latitude_deg), np.radians(nodes.longitude_deg)
    half = np.sin((lat - here[0]) / 2) ** 2 + np.cos(here[0]) * np.cos(lat) * np.sin((lon - here[1]) / 2) ** 2
    found: Floats = 2 * EARTH_RADIUS_KM * np.arcsin(np.sqrt(half))
    return found


class Router:
    """Routes requests by the weights of the settings.

    Args:
        settings: weights, bounds of load, and what a start costs.

    Example:
        >>> from config import load
        >>> nodes = Nodes(["near", "far"], np.array([52.5, 40.7]), np.array([13.4, -74.0]),
        ...               np.ones(2), np.array([0.2, 0.2]))
        >>> route = Router(load({}).settings.routing).route(nodes, (52.0, 13.0), np.ones(2), 5_000.0)
        >>> route.node, route.backups
        ('near', ['far'])
    """

    def __init__(self, settings: RoutingSettings) -> None:
        self._settings = settings

    def scores(self, nodes: Nodes, near_km: Floats, has_title: Floats) -> Floats:
        """Return the score of each node, shape (nodes,), in [0, 1].

        Args:
            near_km: distance of the viewer to each node.
            has_title: how much of the title each node holds, in [0, 1].
        """
        settings = self._settings
        proximity = np.exp(-near_km / settings.proximity_reach_km)
        headroom = np.clip(1 - nodes.load / settings.target_max_load, 0, 1)
        total: Floats = (
            settings.weight_proximity * proximity
            + settings.weight_health * nodes.health
            + settings.weight_content * has_title
            + settings.weight_headroom * headroom
        )
        return total

    def route(
        self,
        nodes: Nodes,
        place: tuple[float, float],
        has_title: Floats,
        throughput_kbps: float,
    ) -> Route:
        """Return where the request of a viewer at `place` (latitude, longitude, in degrees) goes.

        Raises:
            ValueError: there are no nodes.
        """
        everyone = np.ones(len(nodes.names), dtype=bool)
        return self.route_among(
            nodes, distance_km(*place, nodes), has_title, throughput_kbps, best=everyone, backups=everyone
        )

    def is_open(self, nodes: Nodes) -> Flags:
        """Return which nodes are well and below the load up to which they take traffic, shape (nodes,)."""
        alive = nodes.health >= self._settings.least_health
        open_: Flags = alive & (nodes.load < self._settings.target_max_load)
        return open_

    def route_among(
        self,
        nodes: Nodes,
        near_km: Floats,
        has_title: Floats,
        throughput_kbps: float,
        *,
        best: Flags,
        backups: Flags,
    ) -> Route:
        """Return where a request goes.

        Args:
            near_km: distance of the viewer to each node.
            best, backups: which nodes may be the first choice, and which may back it up.

        Raises:
            ValueError: no node may be the first choice.
        """
        if not best.any():
            raise ValueError("there are no nodes to route to")
        settings = self._settings
        scores = self.scores(nodes, near_km, has_title)
        alive = nodes.health >= settings.least_health
        ranked = np.where(self.is_open(nodes), scores + 1, np.where(alive, scores, scores - 1))
        first = int(np.argmax(np.where(best, ranked, -np.inf)))
        may_back_up = backups & alive & (nodes.load < settings.backup_max_load)
        may_back_up[first] = False
        nearest = np.argsort(near_km, kind="stable")
        named = [nodes.names[i] for i in map(int, nearest) if may_back_up[i]][: settings.backups]
        startup_ms = self.startup_ms(float(near_km[first]), float(nodes.load[first]), throughput_kbps)
        return Route(nodes.names[first], named, startup_ms, float(scores[first]))

    def startup_ms(self, distance_km: float, load: float, throughput_kbps: float) -> float:
        """Return how long a start takes: its round trips, and the first buffer at the start's bitrate.

        A node answers slower as it fills: its service time grows as 1 / (1 - load), as a queue's does.
        """
        settings = self._settings
        round_trip_ms = 2 * distance_km / FIBRE_KM_PER_MS + settings.access_ms
        service_ms = settings.service_ms / max(1 - load, 0.05)
        buffer_ms = 1_000 * settings.first_buffer_s * settings.start_bitrate_kbps / max(throughput_kbps, 1.0)
        total = settings.start_round_trips * round_trip_ms + service_ms + buffer_ms
        return total if math.isfinite(total) else math.inf
