"""What a worker's applications are set to."""

from __future__ import annotations

from pathlib import Path

import pytest

from config import load
from playhead.app import PlayheadApp
from playhead.cache import MemoryCache


@pytest.mark.parametrize("session_timeout_s", ["6", "45"])
def test_a_request_may_take_as_long_as_a_session(session_timeout_s: str, tmp_path: Path) -> None:
    environment = {
        "PLAYHEAD_ENGINE__SESSION_TIMEOUT_S": session_timeout_s,
        "PLAYHEAD_DATA_DIR": str(tmp_path),
    }

    app = PlayheadApp(
        "incidents", load(environment).settings, {"bootstrap.servers": "127.0.0.1:1"}, MemoryCache(10)
    )

    assert app.conf.broker_session_timeout == float(session_timeout_s)
    assert app.conf.broker_request_timeout >= app.conf.broker_session_timeout


async def test_a_fetch_without_the_partition_of_the_newest_record_is_short(tmp_path: Path) -> None:
    settings = load(
        {"PLAYHEAD_DATA_DIR": str(tmp_path), "PLAYHEAD_ENGINE__AGENT_FETCH_WAIT_MS": "70"}
    ).settings
    app = PlayheadApp("incidents", settings, {"bootstrap.servers": "127.0.0.1:1"}, MemoryCache(10))

    thread = app._new_consumer()._thread
    consumer = thread._create_worker_consumer(app.transport)

    assert consumer._fetch_max_wait_ms == 70
