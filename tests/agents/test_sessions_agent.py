"""The lane of `cmcd` makes beats, keyed by session, of reports single and packed."""

from __future__ import annotations

import msgspec
from fake_batch import FakeBatch

import config
from agents.sessions import SessionMaker
from topics import CMCD, PLAYBACK
from topics.cmcd import Carriage, CmcdKeys, CmcdRecord, CmcdRecords

SETTINGS = config.load({}).settings


def said(time_ms: int, sn: int, sta: str) -> CmcdRecord:
    keys = CmcdKeys(v=2, e="ps", sn=sn, sta=sta, ts=time_ms)
    return CmcdRecord(time_ms=time_ms, session_id="s", keys=keys, carriage=Carriage.EVENT, weight=4.0)


PLAY = [said(0, 0, "s"), said(900, 1, "p"), said(2_000, 2, "r"), said(3_000, 3, "p")]


def batch(*values: bytes | None, packed: bool = False) -> FakeBatch:
    return FakeBatch("cmcd", 0, [(b"s", value, 3_000, packed) for value in values])


def single() -> FakeBatch:
    return batch(*(CMCD.encode(record) for record in PLAY))


def test_reports_become_beats_of_their_session() -> None:
    given = single()

    emissions = SessionMaker(SETTINGS).process(given)

    assert all(emission.spec is PLAYBACK and emission.key == "s" for emission in emissions)
    assert [emission.record.state for emission in emissions] == [
        "starting",
        "playing",
        "rebuffering",
        "playing",
    ]  # type: ignore[attr-defined]
    assert {emission.record.weight for emission in emissions} == {4.0}  # type: ignore[attr-defined]
    assert given.processed == 4


def test_packed_reports_make_the_same_beats_however_they_are_batched() -> None:
    packed = msgspec.json.encode(CmcdRecords(records=PLAY))
    whole = SessionMaker(SETTINGS).process(single())

    assert SessionMaker(SETTINGS).process(batch(packed, packed=True)) == whole
    first, second = SessionMaker(SETTINGS), SessionMaker(SETTINGS)
    beats = first.process(batch(*(CMCD.encode(record) for record in PLAY[:2])))
    second.restore(first.snapshot())
    assert beats + second.process(batch(*(CMCD.encode(record) for record in PLAY[2:]))) == whole


def test_a_report_that_waits_for_one_that_is_lost_waits_no_longer_than_there_is_traffic() -> None:
    maker = SessionMaker(SETTINGS)
    maker.process(batch(*(CMCD.encode(record) for record in PLAY[:2])))

    held = maker.process(batch(CMCD.encode(PLAY[3])))
    told = maker.idle()

    assert held == []
    assert [emission.record.play_ms for emission in told] == [2_100]  # type: ignore[attr-defined]
    assert maker.idle() == []
    assert maker.process(batch(CMCD.encode(PLAY[2]))) == [], "what comes later is late"


def test_what_breaks_the_contract_or_comes_from_the_future_is_refused_alone() -> None:
    late = CMCD.encode(said(3_000 + SETTINGS.engine.max_future_ms + 1, 0, "s"))
    given = batch(b"{}", CMCD.encode(PLAY[0]), None, late)

    emissions = SessionMaker(SETTINGS).process(given)

    assert [index for index, _, _ in given.refusals] == [0, 2, 3]
    assert len(emissions) == 1
