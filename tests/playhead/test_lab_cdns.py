"""Local CDNs serve what is there, fail as they are told, and remember what they were asked."""

from __future__ import annotations

import http.client
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from playhead.lab.cdns import Fault, FaultKind, LocalCdns

SEGMENT = bytes(range(256)) * 64


@pytest.fixture
def cdns(tmp_path: Path) -> Iterator[LocalCdns]:
    (tmp_path / "hls").mkdir()
    (tmp_path / "hls" / "v0.m4s").write_bytes(SEGMENT)
    (tmp_path / "hls" / "v0.m3u8").write_text("#EXTM3U\n")
    with LocalCdns(tmp_path) as running:
        yield running


def get(cdns: LocalCdns, cdn: str, path: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(cdns.hosts[cdn], cdns.port, timeout=5)
    connection.request("GET", path, headers={"CMCD-Session": 'sid="s1"'})
    answer = connection.getresponse()
    return answer.status, answer.read()


def test_every_title_is_served_by_every_cdn_and_requests_are_remembered(cdns: LocalCdns) -> None:
    for cdn in cdns.hosts:
        assert get(cdns, cdn, "/pilot/hls/v0.m4s?CMCD=br%3D900") == (200, SEGMENT)

    assert [each.cdn for each in cdns.segments()] == list(cdns.hosts)
    assert cdns.requests[0].cmcd == "br=900"
    assert cdns.requests[0].cmcd_headers == {"CMCD-Session": 'sid="s1"'}


def test_one_cdn_fails_as_it_is_told_and_the_others_do_not(cdns: LocalCdns) -> None:
    cdns.fail("cdn-a", Fault(FaultKind.STATUS))
    assert get(cdns, "cdn-a", "/p/hls/v0.m4s")[0] == 503
    assert get(cdns, "cdn-b", "/p/hls/v0.m4s")[0] == 200

    cdns.fail("cdn-a", Fault(FaultKind.RESET))
    with pytest.raises(ConnectionError):
        get(cdns, "cdn-a", "/p/hls/v0.m4s")

    cdns.fail("cdn-a", Fault(FaultKind.CORRUPT))
    status, body = get(cdns, "cdn-a", "/p/hls/v0.m4s")
    assert (status, len(body)) == (200, len(SEGMENT))
    assert body != SEGMENT

    cdns.fail("cdn-a", Fault(FaultKind.SLOW, delay_s=0.2, kbps=1e6))
    began_s = time.monotonic()
    assert get(cdns, "cdn-a", "/p/hls/v0.m4s") == (200, SEGMENT)
    assert time.monotonic() - began_s >= 0.2

    cdns.fail("cdn-a", None)
    assert get(cdns, "cdn-a", "/p/hls/v0.m4s") == (200, SEGMENT)


def test_playlists_may_be_well_while_segments_fail(cdns: LocalCdns) -> None:
    cdns.fail("cdn-a", Fault(FaultKind.STATUS, segments_only=True))

    assert get(cdns, "cdn-a", "/p/hls/v0.m3u8")[0] == 200
    assert get(cdns, "cdn-a", "/p/hls/v0.m4s")[0] == 503


def test_nothing_outside_of_the_media_is_served(cdns: LocalCdns, tmp_path: Path) -> None:
    (tmp_path.parent / "secret").write_text("x")

    assert get(cdns, "cdn-a", "/p/../../secret")[0] == 404
    assert get(cdns, "cdn-a", "/p/%2e%2e/secret")[0] == 404
