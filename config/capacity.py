"""The section of the settings that holds what a plan of capacity assumes."""

from __future__ import annotations

from config.sections import NonNegativeInt, PositiveFloat, PositiveInt, Section, Share


class CapacitySettings(Section):
    """Costs of an event, sizes of machines, and how full they may be."""

    worker_us_per_event: PositiveFloat
    broker_us_per_event: PositiveFloat
    wire_bytes_per_event: PositiveFloat
    core_share: Share
    partitions_per_worker: PositiveInt
    replication: PositiveInt
    consumer_groups: PositiveInt
    retention_hours: PositiveFloat
    series_interval_s: PositiveFloat
    series_bytes: PositiveFloat
    worker_memory_gb: PositiveFloat
    broker_cores: PositiveInt
    broker_network_gbps: PositiveFloat
    broker_network_share: Share
    broker_disk_mb_per_s: PositiveFloat
    broker_disk_share: Share
    broker_disk_tb: PositiveFloat
    broker_disk_fill: Share
    broker_most_partitions: PositiveInt
    brokers_spare: NonNegativeInt
