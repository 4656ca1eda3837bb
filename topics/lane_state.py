"""`lane.state`: snapshots of what the hot lanes know, in chunks that fit a record.

The offset commit of a lane carries, as its metadata, where its snapshot begins in this topic, so that offset
and state change together. Values are MessagePack, being arrays that no person reads.
"""

from __future__ import annotations

from topics.fields import Count, Name, Record
from topics.spec import MAX_RECORD_BYTES, Cleanup, TopicSpec


class LaneChunk(Record, frozen=True, kw_only=True):
    """One piece of the snapshot of one partition of one lane."""

    lane: Name
    topic: Name
    partition: Count
    next_offset: Count
    """The snapshot holds everything before this offset of the lane's partition."""
    chunk: Count
    chunks: Count
    parity: Count
    """Alternates, so that compaction never removes the snapshot that a commit still points to."""
    data: bytes


LANE_STATE = TopicSpec(
    name="lane.state",
    key="lane, partition, chunk, parity",
    value=LaneChunk,
    key_of=lambda chunk: f"{chunk.lane}/{chunk.topic}/{chunk.partition}/{chunk.chunk}/{chunk.parity}",
    describes="Snapshots of the hot lanes' state.",
    producers=("hot lanes",),
    consumers=("hot lanes",),
    cleanup=Cleanup.COMPACT,
    partitions=1,
    internal=True,
    binary=True,
    max_bytes=2 * MAX_RECORD_BYTES,
)
