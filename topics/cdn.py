"""`cdn.nodes`: how each cache node is."""

from __future__ import annotations

from typing import Annotated

import msgspec

from topics.fields import Name, NonNegative, OptionalName, Positive, Ratio, Record
from topics.spec import Cleanup, TopicSpec


class NodeReport(Record, frozen=True, kw_only=True):
    """One cache node's own word on its capacity, load and health."""

    node: Name
    cdn: Name
    site: OptionalName = ""
    isp: OptionalName = ""
    region: OptionalName = ""
    tier: OptionalName = ""
    capacity_gbps: Positive
    load: Ratio
    """Share of `capacity_gbps` in use."""
    healthy: bool = True
    cache_hit_ratio: Ratio | None = None
    error_rate: Ratio | None = None
    latency_p99_ms: NonNegative | None = None
    committed_gbps: NonNegative = 0.0
    """Traffic that is paid for whether it is used or not."""
    cost_per_gb: NonNegative = 0.0
    """Price of what goes beyond, in any one currency."""
    latitude_deg: Annotated[float, msgspec.Meta(ge=-90, le=90)] | None = None
    longitude_deg: Annotated[float, msgspec.Meta(ge=-180, le=180)] | None = None
    title_hit_ratios: dict[Name, Ratio] = {}
    """Cache-hit ratio by title, of those asked for most; others count with `cache_hit_ratio`."""


CDN_NODES = TopicSpec(
    name="cdn.nodes",
    key="node",
    value=NodeReport,
    key_of=lambda report: report.node,
    describes="Cache nodes: capacity, load, health, cache hits, failures.",
    producers=("CDN nodes", "gateway", "playhead produce"),
    consumers=("policy", "gateway"),
    cleanup=Cleanup.COMPACT,
)
