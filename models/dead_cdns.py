"""Which CDNs nobody is sent to because none of their nodes is up, and how viewers come back to one.

That needs no viewers' word and no comparison: who goes there gets nothing. It ends in steps like a command's
way back, for a CDN that has just come up may not hold everyone at once.

| since all nodes are down | nobody is sent there |
| since one is up again | nobody for a dwell; then group by group, as many dwells as a way back has steps |
"""

from __future__ import annotations

from collections.abc import Iterable

from config import Settings
from models.node_health import health
from models.steering_order import bucket
from topics.cdn import NodeReport


class DeadCdns:
    """Follows the reports of the nodes.

    Args:
        settings: `health` says which nodes are up, `policy` how old a report may be and how long a dwell is.

    Example:
        >>> from config import load
        >>> dead = DeadCdns(load({}).settings)
        >>> down = NodeReport(time_ms=0, node="n", cdn="a", capacity_gbps=100, load=0.3, healthy=False)
        >>> dead.see([down], 1_000)
        >>> dead.of(group=7, now_ms=2_000)
        ['a']
    """

    def __init__(self, settings: Settings) -> None:
        self._health = settings.health
        self._max_age_ms = 1_000 * settings.policy.max_report_age_s
        self._dwell_ms = 1_000 * settings.policy.return_dwell_s
        self._dwells_back = len(settings.policy.return_shares)
        self._up_ms: dict[str, int | None] = {}
        """Of CDNs that were dead: since when a node is up again; None while none is."""

    def see(self, reports: Iterable[NodeReport], now_ms: int) -> None:
        """Take the newest report of each node; a CDN of which none is recent stays as it was."""
        up: dict[str, bool] = {}
        for report in reports:
            if now_ms - report.time_ms <= self._max_age_ms:
                up[report.cdn] = up.get(report.cdn, False) or health(report, self._health) > 0
        for cdn, is_up in up.items():
            if not is_up:
                self._up_ms[cdn] = None
            elif cdn in self._up_ms and self._up_ms[cdn] is None:
                self._up_ms[cdn] = now_ms
        for cdn, since_ms in list(self._up_ms.items()):
            if since_ms is not None and now_ms - since_ms >= (1 + self._dwells_back) * self._dwell_ms:
                del self._up_ms[cdn]

    def of(self, group: int, now_ms: int) -> list[str]:
        """Return the CDNs that viewers of `group` are not sent to now."""
        if not self._up_ms:
            return []
        wait_ms = self._dwell_ms * (1 + self._dwells_back * bucket(str(group), "dead"))
        return [
            cdn for cdn, since_ms in self._up_ms.items() if since_ms is None or now_ms - since_ms < wait_ms
        ]
