"""The bench of CMCD asks both contestants for work that is all taken."""

from __future__ import annotations

import config
from models.cmcd.decoding import Decoder
from playhead.bench.cmcd import GATEWAY, _summary, _Turn
from playhead.bench.cmcd_load import Load, line
from topics.cmcd import Carriage

NOW_MS = 1_795_374_350_000


def test_the_load_is_read_whole_and_has_sessions_of_its_own() -> None:
    decoder = Decoder(config.load({}).settings.cmcd)

    reports = [
        decoder.decode(line(player, sn, NOW_MS), Carriage.EVENT, NOW_MS)
        for player in range(3)
        for sn in range(40)
    ]

    assert all(report.keys is not None and report.wrong == [] for report in reports)
    assert len({(report.keys.sid, report.keys.sn) for report in reports if report.keys}) == 120


def test_the_ratio_is_of_rates_per_core() -> None:
    load = Load(requests=100, records=2_000, refused=0, seconds=2.0, p50_ms=1.0, p99_ms=2.0)

    told = _summary(GATEWAY, 20, [_Turn(load, 0.5)], [_Turn(load, 1.0)])

    assert (told.contestant, told.records_per_s, told.records_per_cpu_s, told.ratio) == (
        GATEWAY,
        1_000,
        4_000,
        2.0,
    )
