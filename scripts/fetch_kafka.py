"""Fetch the jars of the Kafka that runs without Docker, unless they are there already."""

from __future__ import annotations

import sys

from playhead.engine.errors import EngineError
from playhead.engine.folders import tools_folder
from playhead.engine.java import fetch_kafka

try:
    fetch_kafka(tools_folder(), report=lambda line: print(f"  {line}", flush=True))
except EngineError as error:
    sys.exit(f"setup: {error}")
