"""Pages of any origin may ask what players ask, read why they are refused, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from config import load
from playhead.gateway.app import build

NOBODY = {"bootstrap.servers": "127.0.0.1:9", "log_level": 0}
"""No broker listens there."""

PAGE = {"Origin": "https://player.example"}


@pytest.fixture
def client(tmp_path: Path) -> Iterator[TestClient]:
    with TestClient(build(load({"PLAYHEAD_DATA_DIR": str(tmp_path)}).settings, NOBODY)) as client:
        yield client


@pytest.mark.parametrize(
    ("method", "path", "headers"),
    [
        ("POST", "/v1/play", {"content-type"}),
        ("GET", "/v1/manifest/film.m3u8", {"cmcd-object", "cmcd-request", "cmcd-session", "cmcd-status"}),
        ("HEAD", "/v1/manifest/we%2Fird.mpd", {"cmcd-session"}),
        ("GET", "/v1/steer", {"cmcd-request"}),
        ("GET", "/v1/steer/state", {"cmcd-request"}),
        ("POST", "/v1/cmcd", {"content-type", "cmcd-request"}),
        ("POST", "/v1/beats", {"content-type"}),
    ],
)
def test_browsers_are_told_beforehand_that_they_may_ask(
    client: TestClient, method: str, path: str, headers: set[str]
) -> None:
    asked = {"Access-Control-Request-Method": method, "Access-Control-Request-Headers": ",".join(headers)}

    answer = client.options(path, headers={**PAGE, **asked})

    assert answer.status_code == 204
    assert answer.headers["access-control-allow-origin"] == "*"
    assert method in answer.headers["access-control-allow-methods"].split(", ")
    allowed = set(answer.headers["access-control-allow-headers"].split(", "))
    assert "*" in allowed
    assert headers <= allowed


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/v1/play", 422),
        ("GET", "/v1/manifest/film.m3u8?connection_kbps=none", 422),
        ("GET", "/v1/manifest/film", 404),
        ("DELETE", "/v1/play", 405),
        ("POST", "/v1/beats", 422),
    ],
)
def test_pages_may_read_why_they_are_refused(client: TestClient, method: str, path: str, status: int) -> None:
    answer = client.request(method, path, headers=PAGE, content=b"{}")

    assert answer.status_code == status
    assert answer.headers.get_list("access-control-allow-origin") == ["*"]
    assert answer.headers["access-control-expose-headers"] == "Retry-After"


def test_what_a_cache_keeps_is_for_pages_too_whoever_asked_first(client: TestClient) -> None:
    answer = client.get("/v1/steer")

    assert answer.headers.get_list("access-control-allow-origin") == ["*"]
    assert answer.headers["timing-allow-origin"] == "*"
    assert "vary" not in answer.headers


@pytest.mark.parametrize("path", ["/v1/alertmanager", "/v1/latency-budget", "/metrics", "/readyz"])
def test_what_programs_ask_is_not_for_pages(client: TestClient, path: str) -> None:
    answer = client.options(path, headers={**PAGE, "Access-Control-Request-Method": "POST"})

    assert answer.status_code == 405
    assert "access-control-allow-origin" not in answer.headers
