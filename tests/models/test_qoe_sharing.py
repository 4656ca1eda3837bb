"""A cause that titles share is one episode of all viewers; what one title alone has stays that title's."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from config import load
from models.cohort_windows import BucketCounts
from models.incidents import Incidents, Subject
from models.log_buckets import duration_buckets
from models.policy import Decided, PolicyEngine
from models.qoe import QoeJudge
from models.surroundings import Surroundings
from models.window_merge import MergedWindow
from topics.anomalies import Anomaly, Phase
from topics.cdn import NodeReport
from topics.cohorts import MEASURES
from topics.commands import Command, CommandKind
from topics.incidents import Incident
from topics.policies import Policy

SETTINGS = load({}).settings
WINDOW_MS = 60_000
DIMENSIONS = ("title", "cdn", "isp", "region", "device", "platform", "bitrate_kbps", "p2p", "app_version")
AT = {name: column for column, name in enumerate(MEASURES)}
BUCKETS = duration_buckets(SETTINGS.qoe)
FORTY = [f"t{number:02d}" for number in range(40)]

Faults = Mapping[tuple[str, str, str], float]
"""Share of viewers who stall, by title, CDN and ISP; ``*`` is any. The first that fits counts."""


def window(
    number: int,
    faults: Faults | None = None,
    *,
    titles: list[str] = FORTY,
    viewers: float = 200,
    base: float = 0.02,
    bitrate_kbps: Mapping[str, float] | None = None,
    slow_on: str = "",
) -> MergedWindow:
    """Titles of unlike size, each on three CDNs and three ISPs, whose healthy rates differ."""
    cells, rows, startup_ms = [], [], []
    for place, title in enumerate(titles):
        for cdn in "abc":
            for isp in "xyz":
                of_cell = viewers * (1 + 4 / (1 + place))
                healthy = base * (1 + 0.5 * (place % 3))
                rate = next(
                    (
                        rate
                        for (t, c, i), rate in (faults or {}).items()
                        if t in {title, "*"} and c in {cdn, "*"} and i in {isp, "*"}
                    ),
                    healthy,
                )
                row = np.zeros(len(MEASURES))
                row[AT["viewers"]] = row[AT["attempts"]] = row[AT["starts"]] = of_cell
                row[AT["stalled_viewers"]] = round(of_cell * rate)
                row[AT["play_ms"]] = row[AT["bitrate_ms"]] = of_cell * 50_000
                row[AT["stall_ms"]] = round(of_cell * rate) * 100
                row[AT["startup_ms"]] = of_cell * 900
                row[AT["bitrate_kbps_ms"]] = of_cell * 50_000 * (bitrate_kbps or {}).get(cdn, 3_000.0)
                cells.append((title, cdn, isp, "", "", "", "", "", ""))
                rows.append(row)
                startup_ms.append(9_000.0 if cdn == slow_on else 1_200.0)
    counts = np.array([row[AT["starts"]] for row in rows])
    sketch = BucketCounts(np.arange(len(cells)), BUCKETS.of(np.array(startup_ms)), counts)
    sketches = {"startup_ms": sketch}
    return MergedWindow(number * WINDOW_MS, WINDOW_MS, DIMENSIONS, cells, np.array(rows), None, sketches)


def said(model: QoeJudge, *windows: MergedWindow) -> list[Anomaly]:
    return [anomaly for each in windows for anomaly in model.judge(each)[1]]


def learned(titles: list[str] = FORTY, viewers: float = 200) -> QoeJudge:
    model = QoeJudge(SETTINGS)
    assert said(model, *(window(n, titles=titles, viewers=viewers) for n in range(5))) == []
    return model


def incidents_of(anomalies: list[Anomaly]) -> dict[str, Incident]:
    """The newest record of each incident that `anomalies` make."""
    model, subjects, newest = Incidents(SETTINGS.incidents), dict[str, Subject](), dict[str, Incident]()
    for anomaly in anomalies:
        subjects[anomaly.subject], emissions = model.step(subjects.get(anomaly.subject), anomaly)
        for emission in emissions:
            assert isinstance(emission.record, Incident)
            newest[emission.record.incident] = emission.record
    return newest


@pytest.mark.parametrize(
    ("faults", "cell"),
    [
        ({("*", "b", "*"): 0.2}, {"cdn": "b"}),
        ({("*", "b", "y"): 0.3}, {"cdn": "b", "isp": "y"}),
        ({("*", "*", "*"): 0.2}, {}),
    ],
)
def test_a_cause_that_forty_titles_share_is_one_episode_of_all_viewers(
    faults: Faults, cell: dict[str, str]
) -> None:
    [anomaly] = said(learned(), window(5, faults))

    assert (anomaly.phase, anomaly.cell, anomaly.scope) == (Phase.START, cell, {})
    assert [cause.cell for cause in anomaly.causes] == [cell]
    everyone = window(5, faults)
    inside = [cell.items() <= {"cdn": each[1], "isp": each[2]}.items() for each in everyone.cells]
    stalled, viewers = (everyone.sums[inside][:, AT[name]].sum() for name in ("stalled_viewers", "viewers"))
    assert anomaly.value == pytest.approx(stalled / viewers)
    assert anomaly.baseline == pytest.approx(0.03, abs=0.005)
    assert anomaly.impact_viewers == pytest.approx(stalled - 0.03 * viewers, rel=0.05)
    assert anomaly.causes[0].excess_viewers == pytest.approx(anomaly.impact_viewers)
    assert anomaly.causes[0].explained == pytest.approx(1.0, abs=0.05)
    assert "40 of 40 titles are hit" in anomaly.causes[0].contrast


def test_the_contrast_is_that_of_all_viewers() -> None:
    [anomaly] = said(learned(), window(5, {("*", "b", "y"): 0.3}))

    contrast = anomaly.causes[0].contrast
    assert contrast.startswith("30 % of viewers on cdn=b, isp=y stall, expected 2.")
    assert "the rest is at 2." in contrast
    assert "isp=y otherwise at 2." in contrast
    assert "cdn=b otherwise at 2." in contrast


def test_what_one_title_alone_has_stays_its_own() -> None:
    [anomaly] = said(learned(), window(5, {("t03", "*", "*"): 0.3}))

    assert (anomaly.scope, anomaly.cell) == ({"title": "t03"}, {})


def test_what_two_titles_have_while_the_rest_of_the_cell_is_well_stays_theirs() -> None:
    anomalies = said(learned(), window(5, {("t03", "b", "*"): 0.3, ("t07", "b", "*"): 0.3}))

    assert {anomaly.subject for anomaly in anomalies} == {"t03: cdn=b", "t07: cdn=b"}


def test_two_titles_that_are_all_there_is_share_a_cause() -> None:
    two = ["t00", "t01"]

    [anomaly] = said(learned(two, 1_000), window(5, {("*", "b", "*"): 0.2}, titles=two, viewers=1_000))

    assert (anomaly.subject, anomaly.scope) == ("cdn=b", {})
    assert "2 of 2 titles are hit" in anomaly.causes[0].contrast


def test_a_title_that_ails_by_itself_meanwhile_has_an_episode_of_its_own() -> None:
    anomalies = said(learned(), window(5, {("t03", "*", "*"): 0.4, ("*", "b", "*"): 0.2}))

    assert {anomaly.subject for anomaly in anomalies} == {"cdn=b", "t03: everyone"}


def test_two_causes_at_once_are_an_episode_each() -> None:
    both = {("*", "b", "*"): 0.3, ("*", "*", "y"): 0.3}
    model = learned()

    starts = said(model, window(5, both))
    ends = said(model, window(6, {("*", "b", "*"): 0.3}))

    assert {anomaly.subject for anomaly in starts} == {"cdn=b", "isp=y"}
    assert [(each.phase, each.subject) for each in ends] == [(Phase.END, "isp=y")]


def test_which_part_of_its_cdn_a_cause_is_cannot_be_told_from_those_a_shared_cause_leaves() -> None:
    model = learned()
    shared = {("*", "b", "*"): 0.2}
    (first,) = [each for each in said(model, window(5, shared)) if each.phase is Phase.START]
    own = [each for each in said(model, window(6, {**shared, ("t00", "a", "y"): 0.3})) if each.scope]

    assert first.causes[0].of_cdn == 1.0
    assert own
    assert {each.causes[0].of_cdn for each in own} == {None}


def test_titles_that_are_hit_later_join_without_an_episode_of_their_own() -> None:
    half = {(title, "b", "*"): 0.2 for title in FORTY[::2]}
    model = learned()

    first = said(model, window(5, half))
    more = said(model, window(6, {("*", "b", "*"): 0.2}))
    end = said(model, window(7))

    assert [(each.phase, each.subject) for each in first] == [(Phase.START, "cdn=b")]
    assert "20 of 40 titles are hit" in first[0].causes[0].contrast
    assert [(each.phase, each.subject) for each in more] == [(Phase.UPDATE, "cdn=b")]
    assert "40 of 40 titles are hit" in more[0].causes[0].contrast
    assert [(each.phase, each.subject) for each in end] == [(Phase.END, "cdn=b")]


def test_what_began_in_one_title_goes_on_as_everybodys_under_one_incident_that_pages_once() -> None:
    model = learned()

    [first] = said(model, window(5, {("t00", "b", "*"): 0.2}))
    [wider] = said(model, window(6, {("*", "b", "*"): 0.2}))
    [end] = said(model, window(7))

    assert (first.phase, first.subject, first.scope) == (Phase.START, "t00: cdn=b", {"title": "t00"})
    assert (wider.phase, wider.subject, wider.scope) == (Phase.UPDATE, "t00: cdn=b", {})
    assert (end.phase, end.series) == (Phase.END, first.series)
    [incident] = incidents_of([first, wider]).values()
    assert (incident.cause, incident.scope) == ({"cdn": "b"}, {})
    assert incident.impact_viewers == pytest.approx(wider.impact_viewers)
    assert any(entry.what.startswith("wider: among everyone") for entry in incident.timeline)
    assert model.budget.pages == model.budget.episodes == 1


def commands_after(*told: list[Anomaly]) -> list[Command]:
    """What the policy commands as the anomalies of each window become incidents, windows being minutes."""
    model, engine = Incidents(SETTINGS.incidents), PolicyEngine(SETTINGS.policy, "")
    subjects, decided, commands = dict[str, Subject](), dict[str, Decided](), list[Command]()
    allowed = Policy(time_ms=0, policy="p", allows=CommandKind.STEER, dry_run=False)
    for anomaly in (each for of_window in told for each in of_window):
        nodes = [
            NodeReport(time_ms=anomaly.time_ms, node=cdn, cdn=cdn, capacity_gbps=1_000.0, load=0.2)
            for cdn in "abc"
        ]
        around = Surroundings(policies=[allowed], nodes=nodes)
        subjects[anomaly.subject], incidents = model.step(subjects.get(anomaly.subject), anomaly)
        for incident in (each.record for each in incidents):
            assert isinstance(incident, Incident)
            state, emissions = engine.step(decided.get(incident.incident), incident, around)
            decided[incident.incident] = state
            commands += [each.record for each in emissions if isinstance(each.record, Command)]
    return commands


def test_forty_titles_on_a_cdn_that_fails_are_steered_by_one_command() -> None:
    model = learned()

    told = [said(model, window(n, {("*", "b", "*"): 0.2})) for n in range(5, 9)]

    [command] = commands_after(*told)
    assert (command.kind, command.target, command.audience) == (CommandKind.STEER, "everyone", {})
    assert command.away_from == "b"


def test_a_title_that_was_steered_is_so_with_all_others_once_they_share_its_trouble() -> None:
    model = learned()

    told = [said(model, window(5, {("t00", "b", "*"): 0.2})), said(model, window(6, {("*", "b", "*"): 0.2}))]

    of_title, undone, of_all = commands_after(*told)
    assert (of_title.kind, of_title.target) == (CommandKind.STEER, "title=t00")
    assert (undone.kind, undone.undoes) == (CommandKind.RESUME, of_title.id)
    assert (of_all.kind, of_all.target, of_all.incident) == (
        CommandKind.STEER,
        "everyone",
        of_title.incident,
    )


def test_an_incident_that_comes_back_in_one_title_is_that_titles_again() -> None:
    model = learned()
    told = said(model, window(5, {("t00", "b", "*"): 0.2}), window(6, {("*", "b", "*"): 0.2}), window(7))

    again = said(model, window(8, {("t00", "b", "*"): 0.2}))

    [incident] = incidents_of([*told, *again]).values()
    assert incident.scope == {"title": "t00"}


def test_means_are_shared_too() -> None:
    model = learned()

    [start] = said(model, window(5, bitrate_kbps={"b": 1_000.0}))
    during = said(model, window(6, bitrate_kbps={"b": 1_000.0}))
    [end] = said(model, window(7))

    assert (start.metric, start.subject, start.scope) == ("bitrate_mean_kbps", "cdn=b", {})
    assert (start.value, start.baseline) == (pytest.approx(1_000), pytest.approx(3_000))
    assert "40 of 40 titles are hit" in start.detail
    assert during == []
    assert (end.phase, end.subject) == (Phase.END, "cdn=b")


def test_percentiles_are_shared_too() -> None:
    model = learned()

    [start] = said(model, window(5, slow_on="b"))
    [end] = said(model, window(6))

    assert (start.metric, start.subject, start.scope) == ("startup_p95_ms", "cdn=b", {})
    assert start.value == pytest.approx(9_000, rel=0.05)
    assert start.baseline == pytest.approx(1_200, rel=0.05)
    assert (end.phase, end.subject) == (Phase.END, "cdn=b")


def test_a_restored_judge_goes_on_with_what_is_shared_and_the_same_windows_make_the_same_ids() -> None:
    few = FORTY[:6]
    fault = {("*", "b", "*"): 0.2}
    stream = [
        window(n, {("t00", "b", "*"): 0.3} if n == 5 else fault if n in {6, 7, 9} else {}, titles=few)
        for n in range(12)
    ]
    stream += [window(12, bitrate_kbps={"b": 900.0}, titles=few), window(13, titles=few)]
    straight = said(QoeJudge(SETTINGS), *stream)

    for cut in range(len(stream)):
        first, second = QoeJudge(SETTINGS), QoeJudge(SETTINGS)
        before = said(first, *stream[:cut])
        second.restore(first.snapshot())
        assert before + said(second, *stream[cut:]) == straight
    assert len({anomaly.id for anomaly in straight}) == len(straight) == 7


def test_a_shared_fault_teaches_no_title_that_it_is_usual() -> None:
    model = learned()
    said(model, *(window(n, {("*", "b", "*"): 0.2}) for n in range(5, 15)), window(15))

    [again] = said(model, window(16, {("*", "b", "*"): 0.2}))

    assert again.baseline == pytest.approx(0.03, abs=0.005)


def test_many_titles_with_one_cause_cost_no_more_than_two_searches(monkeypatch: pytest.MonkeyPatch) -> None:
    searched = []
    model = learned()
    whole = model._starter.causes

    def counted(seen: object, metric: str) -> object:
        searched.append(seen)
        return whole(seen, metric)  # type: ignore[arg-type]

    monkeypatch.setattr(model._starter, "causes", counted)
    said(model, window(5, {("*", "b", "*"): 0.2}))

    assert len(searched) == 2
