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
