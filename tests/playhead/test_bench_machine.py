"""How busy the machine is before figures are taken."""

from __future__ import annotations

import os
import time

import pytest

from config import load
from playhead.bench import machine


@pytest.mark.skipif(machine.core_seconds() is None, reason="this system does not tell")
def test_the_work_of_all_cores_is_counted_as_it_is_done() -> None:
    before, began = machine.core_seconds(), time.process_time()
    while time.process_time() < began + 0.5:
        pass
    after = machine.core_seconds()

    assert before is not None
    assert after is not None
    tick_s = 1 / os.sysconf("SC_CLK_TCK")
    assert after - before >= 0.5 - 2 * tick_s


@pytest.mark.parametrize(("at_work", "busy"), [(0.1, False), (1.9, True)])
def test_a_machine_whose_cores_are_at_work_is_busy_whatever_the_last_minute_was(
    at_work: float, busy: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = iter([100.0, 100.0 + at_work * machine.LOOK_S])
    monkeypatch.setattr(machine, "core_seconds", lambda: next(seconds))
    monkeypatch.setattr(machine.time, "sleep", lambda _: None)
    monkeypatch.setattr(machine.os, "sched_getaffinity", lambda _: {0, 1}, raising=False)

    found = machine.this_machine(load({}).settings)

    assert (found.load_at_start, found.busy) == (pytest.approx(at_work), busy)
    assert ("busy" in str(found)) is busy
