"""The gateway starts its parts, tells how they are, and stops them."""

from __future__ import annotations

import pytest
from fastapi import APIRouter
from fastapi.testclient import TestClient

from config import load
from playhead.gateway.app import UnknownPartError, assemble, build


class Lamp:
    """A part that can be told to have a problem."""

    def __init__(self) -> None:
        self.router = APIRouter()
        self.problem = ""
        self.lit = False
        self.router.add_api_route("/lamp", lambda: {"lit": self.lit})

    async def start(self) -> None:
        self.lit = True

    async def stop(self) -> None:
        self.lit = False


def test_parts_run_as_long_as_the_gateway_serves() -> None:
    lamp = Lamp()

    with TestClient(assemble({"lamp": lamp})) as client:
        assert client.get("/lamp").json() == {"lit": True}
    assert not lamp.lit


def test_a_part_with_a_problem_makes_the_gateway_unready_and_says_why() -> None:
    lamp = Lamp()

    with TestClient(assemble({"lamp": lamp})) as client:
        assert client.get("/readyz").status_code == 200
        lamp.problem = "the bulb is gone"
        answer = client.get("/readyz")

        assert answer.status_code == 503
        assert answer.json() == {"ok": False, "problems": {"lamp": "the bulb is gone"}}
        assert client.get("/healthz").status_code == 200


def test_metrics_are_told_as_prometheus_reads_them() -> None:
    with TestClient(assemble({})) as client:
        assert "python_info" in client.get("/metrics").text


def test_an_unknown_part_is_refused_by_name() -> None:
    with pytest.raises(UnknownPartError, match="lamp"):
        build(load({}).settings, {}, ["lamp"])
