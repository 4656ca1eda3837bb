"""Fetch what Playhead is measured against, Quix Streams and Kafka Streams, unless it is there already."""

from __future__ import annotations

import sys

from playhead.bench.errors import ContestantMissingError
from playhead.bench.others import kafka_streams_command, quix_command


def say(line: str) -> None:
    print(f"  {line}", flush=True)


missing = []
for command_of in (quix_command, kafka_streams_command):
    try:
        command_of(say)
    except ContestantMissingError as error:
        missing.append(str(error))
if missing:
    sys.exit("\n".join(f"setup: {each}" for each in missing))
