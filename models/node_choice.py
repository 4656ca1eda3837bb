"""From the reports of cache nodes to the node that serves a playback start.

Steering decides the CDN, so that the manifest, the first poll and the node agree; the weights of routing
decide the node among that CDN's. Where none of them can take the viewer, the next CDN is looked at.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from config import Settings
from models.node_health import health
from models.routing import Nodes, Route, Router, distance_km
from topics.cdn import NodeReport

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """Where a viewer is, as far as is known."""

    latitude_deg: float | None = None
    longitude_deg: float | None = None
    isp: str = ""
    region: str = ""


class NodeTable:
    """The nodes of one moment as columns, to route many starts by.

    Args:
        reports: the newest of each node.
        now_ms: event time; reports that are too old are passed over.
    """

    def __init__(self, reports: Iterable[NodeReport], settings: Settings, now_ms: int) -> None:
        oldest_ms = now_ms - 1_000 * settings.policy.max_report_age_s
        self._settings = settings.routing
        self._router = Router(settings.routing)
        self.reports = [each for each in reports if each.time_ms >= oldest_ms]
        self._nodes = Nodes(
            names=[each.node for each in self.reports],
            latitude_deg=_column(each.latitude_deg for each in self.reports),
            longitude_deg=_column(each.longitude_deg for each in self.reports),
            health=np.array([health(each, settings.health) for each in self.reports]),
            load=np.array([each.load for each in self.reports]),
        )
        self._cdn = np.array([each.cdn for each in self.reports])
        self._isp = np.array([each.isp for each in self.reports])
        self._region = np.array([each.region for each in self.reports])

    def route(
        self, order: Sequence[str], title: str, viewer: Whereabouts, throughput_kbps: float
    ) -> Route | None:
        """Return the route; nothing where no node of the order has reported.

        Args:
            order: CDNs, best first, as steering has them.
        """
        near_km = self._near_km(viewer)
        has_title = self._has_title(title)
        among = np.isin(self._cdn, list(order))
        for cdn in order:
            can = (self._cdn == cdn) & self._router.is_open(self._nodes)
            if can.any():
                break
        else:
            can = among
        if not can.any():
            return None
        return self._router.route_among(
            self._nodes, near_km, has_title, throughput_kbps, best=can, backups=among
        )

    def cdn_of(self, node: str) -> str:
        """Return the CDN of one of the nodes."""
        return str(self._cdn[self._nodes.names.index(node)])

    def _has_title(self, title: str) -> Floats:
        return np.array(
            [each.title_hit_ratios.get(title, each.cache_hit_ratio or 0.0) for each in self.reports]
        )

    def _near_km(self, viewer: Whereabouts) -> Floats:
        """Return how far the nodes are: as measured, else as far as one in the same network or region is."""
        settings = self._settings
        guess = np.full(len(self.reports), settings.elsewhere_km)
        if viewer.region:
            guess[self._region == viewer.region] = settings.same_region_km
        if viewer.isp:
            guess[self._isp == viewer.isp] = settings.same_isp_km
        if viewer.latitude_deg is None or viewer.longitude_deg is None:
            return guess
        measured = distance_km(viewer.latitude_deg, viewer.longitude_deg, self._nodes)
        return np.where(np.isnan(measured), guess, measured)


def _column(values: Iterable[float | None]) -> Floats:
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)
