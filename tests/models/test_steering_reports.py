"""What players say when they poll is read as they really write it, and says whether they followed."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from steady import steady

from models.steering_manifest import PathwayClone, SteeringManifest, UriReplacement
from models.steering_poll import Told
from models.steering_reports import poll_record, said_in
from models.steering_state import State


@pytest.mark.parametrize(
    ("query", "pathways", "kbps"),
    [
        ("_HLS_pathway=cdn-a&_HLS_throughput=500000", ["cdn-a"], 500.0),
        ('_HLS_pathway="cdn-a"', ["cdn-a"], None),
        ("_DASH_pathway=%22cdn-a%2Ccdn-b%22&_DASH_throughput=454076000%2C", ["cdn-a", "cdn-b"], 454_076.0),
        ("_DASH_pathway=cdn-a,cdn-b&_DASH_throughput=,9000", ["cdn-a", "cdn-b"], None),
        ("", [], None),
        ("_HLS_throughput=-1", [], None),
        ("_HLS_throughput=inf", [], None),
    ],
)
def test_pathways_and_throughput_are_read(query: str, pathways: list[str], kbps: float | None) -> None:
    assert said_in(query) == (pathways, kbps)


@given(st.text(max_size=300))
@steady
def test_anything_may_be_said(query: str) -> None:
    pathways, kbps = said_in(query)

    assert len(pathways) <= 8
    assert all(1 <= len(each) <= 64 for each in pathways)
    assert kbps is None or (kbps >= 0 and math.isfinite(kbps))


@pytest.mark.parametrize(
    ("uses", "told", "followed"),
    [
        ("cdn-b", ["cdn-b", "cdn-a"], True),
        ("cdn-a", ["cdn-b", "cdn-a"], False),
        ("cdn-b.1750", ["cdn-b", "cdn-a"], True),
        ("", ["cdn-b", "cdn-a"], None),
        ("cdn-b", [], None),
    ],
)
def test_who_uses_what_he_was_told_has_followed(uses: str, told: list[str], followed: bool | None) -> None:
    clone = PathwayClone(base_id="cdn-b", id="cdn-b.1750", uri_replacement=UriReplacement())
    answer = SteeringManifest(
        version=1, ttl_s=6, pathway_priority=["cdn-b.1750", "cdn-b"], pathway_clones=[clone]
    )
    state = State(asset="pilot", group=3, order=told)

    record = poll_record(state, Told(answer, ["cdn-b"], state), f"_HLS_pathway={uses}", 1_000, 100.0)

    assert record.followed is followed
    assert (record.title, record.order, record.ttl_s, record.weight) == ("pilot", ["cdn-b"], 6, 100.0)
