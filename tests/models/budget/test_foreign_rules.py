"""Alerts of other tools are counted in the ledger of the budget, and withheld where that is asked for."""

from __future__ import annotations

import pytest
from fake_batch import FakeBatch

from agents.foreign import AlertCounter
from config import load
from models.budget.foreign import MOST_RULES, ForeignRules, account_of, may_page
from models.budget.spending import WEEK_MS
from models.foreign_alerts import anomaly_of
from playhead.budget_book import book_of
from topics import ANOMALIES
from topics.anomalies import Anomaly
from topics.spending import Spending

SETTINGS = load({}).settings
BUDGET = SETTINGS.budget
START_MS = 1_781_980_320_000
MINUTE_MS = 60_000


def alert(minute: int = 0, rule: str = "HighErrors", ended: bool = False, pages: bool = True) -> Anomaly:
    started_ms = START_MS + minute * MINUTE_MS
    labels = {"alertname": rule, "service": "payment"}
    ended_ms = started_ms + 1_000 if ended else None
    return anomaly_of(labels, "", "c0ffee", started_ms, ended_ms, SETTINGS.qoe.dimensions, pages=pages)


def told(rules: ForeignRules, *alerts: Anomaly) -> list[Spending]:
    return [ledger for each in alerts if (ledger := rules.take(each)) is not None]


def test_each_page_of_a_rule_is_spent_under_its_name() -> None:
    ledgers = told(ForeignRules(2, BUDGET), alert(0), alert(5), alert(7, rule="DiskFull"))

    assert [(each.detector, each.pages, each.spent) for each in ledgers] == [
        ("foreign/HighErrors/2", 1, 1.0),
        ("foreign/HighErrors/2", 2, 2.0),
        ("foreign/DiskFull/2", 1, 1.0),
    ]
    assert ledgers[1].static_pages == ledgers[1].episodes == 2
    assert (ledgers[1].since_ms, ledgers[1].time_ms) == (START_MS, START_MS + 5 * MINUTE_MS)


def test_an_alert_told_again_or_ended_spends_nothing_more() -> None:
    assert len(told(ForeignRules(0, BUDGET), alert(), alert(), alert(ended=True), alert())) == 1


def test_what_does_not_page_is_an_episode_and_spends_nothing() -> None:
    [ledger] = told(ForeignRules(0, BUDGET), alert(pages=False))

    assert (ledger.episodes, ledger.pages, ledger.spent) == (1, 0, 0.0)


def test_rules_beyond_the_most_are_counted_together() -> None:
    rules = ForeignRules(0, BUDGET)

    ledgers = told(rules, *(alert(number, f"r{number}") for number in range(MOST_RULES + 3)))

    assert len({each.detector for each in ledgers}) == MOST_RULES + 1
    assert (ledgers[-1].detector, ledgers[-1].pages) == ("foreign/others/0", 3)


def test_the_lane_goes_on_from_its_snapshot_and_refuses_what_it_cannot_read() -> None:
    values = [ANOMALIES.encode(alert(number)) for number in range(3)]
    straight, first, second = (AlertCounter(1, SETTINGS) for _ in range(3))
    whole = FakeBatch("anomalies", 1, [(b"", value, START_MS, False) for value in [*values, b"{"]])

    expected = straight.process(whole)
    before = first.process(FakeBatch("anomalies", 1, [(b"", values[0], START_MS, False)]))
    second.restore(first.snapshot())
    after = second.process(FakeBatch("anomalies", 1, [(b"", value, START_MS, False) for value in values]))

    assert before + after == expected
    assert whole.processed == 3
    assert [index for index, _, _ in whole.refusals] == [3]


def test_the_book_puts_the_partitions_of_a_rule_together_beside_learned_and_static_ones() -> None:
    zero, one = ForeignRules(0, BUDGET), ForeignRules(1, BUDGET)
    ledgers = [told(zero, alert(0), alert(9))[-1], told(one, alert(3))[-1]]
    own = Spending(
        time_ms=START_MS,
        detector="cohorts",
        since_ms=START_MS,
        share=0.4,
        false_pages_per_week=BUDGET.false_pages_per_week,
        page_level=1e-6,
        tests=1_000,
        spent=0.001,
        episodes=2,
        pages=1,
        static_pages=0,
    )

    book = book_of([*ledgers, own], BUDGET)

    assert [(each.detector, each.pages) for each in book.accounts] == [
        ("cohorts", 1),
        ("foreign/HighErrors", 3),
    ]
    assert (book.pages, book.static_pages) == (4, 3)
    assert book.spent == pytest.approx(3.001)
    assert book.left == pytest.approx(0.399 - 3)
    assert account_of("telemetry/3") == "telemetry/3"


def test_by_default_no_alert_is_withheld_however_many_there_were() -> None:
    ledgers = told(ForeignRules(0, BUDGET), *(alert(minute) for minute in range(50)))

    assert may_page("HighErrors", ledgers[-1:], BUDGET, START_MS + WEEK_MS)


def test_where_it_is_asked_for_a_rule_pages_no_more_until_another_week_has_begun() -> None:
    withheld = BUDGET.model_copy(update={"foreign_withheld": True, "foreign_pages_per_week": 2.0})
    ledgers = told(ForeignRules(0, withheld), alert(0), alert(5))

    assert may_page("HighErrors", ledgers[:1], withheld, START_MS + 5 * MINUTE_MS)
    assert not may_page("HighErrors", ledgers[1:], withheld, START_MS + 9 * MINUTE_MS)
    assert may_page("HighErrors", ledgers[1:], withheld, START_MS + WEEK_MS)
    assert may_page("DiskFull", ledgers[1:], withheld, START_MS + 9 * MINUTE_MS)
