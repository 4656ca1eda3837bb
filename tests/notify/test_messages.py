"""What receivers are told, when, and in which shape."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from config import load
from config.notify import ReceiverSettings
from models.notices import notice_of
from playhead.notify.alertmanager import OURS, AlertmanagerChannel, labels_of
from playhead.notify.channels import Message, WebhookChannel, delivery
from playhead.notify.fields import fields_of
from playhead.notify.templates import BUILT_IN, TemplateError, load_template
from topics.anomalies import AnomalyKind, Severity
from topics.deliveries import DeliveryStatus, NoticeDelivery
from topics.incidents import Acknowledgement, Incident, IncidentState

LINKS = {
    "PLAYHEAD_NOTIFY__INCIDENT_URL": "https://room/{incident}",
    "PLAYHEAD_NOTIFY__RUNBOOK_URL": "https://r/{kind}",
}
SETTINGS = load(LINKS).settings.notify
NOW_MS = 1_700_000_000_000


def incident(**given: Any) -> Incident:
    fields: dict[str, Any] = {
        "time_ms": NOW_MS,
        "incident": "i1",
        "subject": "cdn=7",
        "state": IncidentState.OPEN,
        "kind": AnomalyKind.STREAMING_QUALITY_DROP,
        "severity": Severity.HIGH,
        "summary": 'viewers <stall> & "wait" {sic}',
        "cause": {"cdn": "7"},
        "opened_ms": NOW_MS - 60_000,
        "firing": ["cdn=7/stalled_ratio"],
        "impact_viewers": 893.0,
        "paging": True,
        "pages": 1,
    }
    return Incident(**{**fields, **given})


RESOLVED = {"state": IncidentState.RESOLVED, "paging": False, "resolved_ms": NOW_MS, "firing": []}
ACKNOWLEDGED = {
    "state": IncidentState.ACKNOWLEDGED,
    "paging": False,
    "owner": "ada",
    "acknowledgement": Acknowledgement(by="ada", time_ms=NOW_MS),
}


class Receiver:
    """A receiver as it sees the messages of a channel, one after the other."""

    def __init__(self, **given: Any) -> None:
        kind = given.get("kind", "webhook")
        make = AlertmanagerChannel if kind == "alertmanager" else WebhookChannel
        receiver = ReceiverSettings(url="http://there", **given)
        self.channel = make("chat", receiver, SETTINGS)
        self.told: dict[str, NoticeDelivery] = {}

    def next(self, *incidents: Incident, now_ms: int = NOW_MS) -> Message | None:
        return self.channel.next(incidents, self.told.get, now_ms)

    def takes(
        self, *incidents: Incident, now_ms: int = NOW_MS, status: DeliveryStatus = DeliveryStatus.DELIVERED
    ) -> Any:
        message = self.next(*incidents, now_ms=now_ms)
        if message is None:
            return None
        for told in message.notices:
            record = delivery("chat", told, status, 1, "", now_ms)
            self.told[record.delivery] = record
        if status is DeliveryStatus.DELIVERED:
            self.channel.sent(message, now_ms)
        return json.loads(message.body)


# -- when -------------------------------------------------------------------------------------------------


def test_a_life_is_told_in_pages_acknowledgement_and_end_each_once() -> None:
    chat = Receiver()
    life = [
        incident(paging=False, pages=0),
        incident(),
        incident(impact_viewers=5_000.0),
        incident(severity=Severity.CRITICAL),
        incident(**ACKNOWLEDGED),
        incident(pages=2),
        incident(paging=False, pages=2, silenced_by="s1"),
        incident(**RESOLVED, pages=2),
    ]

    told = [chat.takes(each) for each in life]
    again = [chat.takes(life[-1])]

    assert [each and each["event"] for each in [*told, *again]] == [
        None, "page", None, "page", "acknowledged", "page", None, "resolved", None,
    ]  # fmt: skip
    ids = [each["id"] for each in told if each]
    assert len(set(ids)) == len(ids)


def test_a_notice_that_was_not_taken_is_told_again_under_the_same_id() -> None:
    chat = Receiver()

    first = chat.takes(incident(), status=DeliveryStatus.FAILING)
    second = chat.takes(incident())

    assert first["id"] == second["id"]
    assert chat.takes(incident()) is None


def test_a_notice_that_was_refused_is_not_told_again() -> None:
    chat = Receiver()
    chat.takes(incident(), status=DeliveryStatus.REFUSED)

    assert chat.takes(incident()) is None
    assert chat.takes(incident(pages=2)) is not None


def test_what_changed_while_a_receiver_was_away_is_told_as_it_then_stands() -> None:
    chat = Receiver()
    chat.takes(incident(), status=DeliveryStatus.FAILING)

    assert chat.takes(incident(**RESOLVED))["event"] == "resolved"


def test_history_is_not_told() -> None:
    old_ms = NOW_MS + int(1_000 * SETTINGS.max_age_s) + 1

    assert Receiver().next(incident(), now_ms=old_ms) is None


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"min_severity": "critical"}, False),
        ({"min_severity": "high"}, True),
        ({"match": {"cdn": "8"}}, False),
        ({"match": {"cdn": "7"}}, True),
    ],
)
def test_a_receiver_is_told_of_what_concerns_it(given: dict[str, Any], told: bool) -> None:
    assert (Receiver(**given).next(incident()) is not None) is told


# -- in which shape ---------------------------------------------------------------------------------------


def test_pagerduty_is_triggered_acknowledged_and_resolved_under_one_key() -> None:
    pager = Receiver(template="pagerduty", key="R0")

    told = [pager.takes(each) for each in (incident(), incident(**ACKNOWLEDGED), incident(**RESOLVED))]

    assert [each["event_action"] for each in told] == ["trigger", "acknowledge", "resolve"]
    assert {each["dedup_key"] for each in told} == {"i1"}
    assert told[0]["routing_key"] == "R0"
    payload = told[0]["payload"]
    assert (payload["severity"], payload["source"]) == ("error", "cdn=7")
    assert payload["custom_details"]["viewers"] == 893.0
    assert [link["href"] for link in told[0]["links"]] == [
        "https://room/i1",
        "https://r/streaming_quality_drop",
    ]


def test_slack_is_told_in_blocks_with_its_characters_escaped_and_nothing_empty() -> None:
    told = Receiver(template="slack").takes(incident())

    (attachment,) = told["attachments"]
    texts = json.dumps(attachment["blocks"])
    assert 'viewers &lt;stall&gt; &amp; \\"wait\\" {sic}' in texts
    assert "<https://room/i1|incident>" in texts
    assert "*Owner*" not in texts
    assert all(block["type"] in {"section", "context"} for block in attachment["blocks"])


def test_a_webhook_is_told_values_not_texts_of_them() -> None:
    told = Receiver().takes(incident())

    assert (told["viewers"], told["cell"], told["pages"]) == (893.0, {"cdn": "7"}, 1)
    assert told["summary"] == incident().summary


def test_a_template_of_ones_own_is_read_from_its_file(tmp_path: Path) -> None:
    file = tmp_path / "mine.json"
    file.write_text('{"t": "{severity}: {summary}", "n": 1, "l": [{"?": "{owner}", "who": "{owner}"}]}')

    assert Receiver(template=str(file)).takes(incident()) == {
        "t": f"high: {incident().summary}",
        "n": 1,
        "l": [],
    }


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"t": "{colour.__class__}"}', "there are"),
        ('{"t": "{nothing}"}', "nothing"),
        ('{"t": "{"}', "mine.json"),
        ("{", "not JSON"),
        (None, "none of webhook, slack, pagerduty"),
    ],
)
def test_a_template_that_cannot_be_used_says_why(text: str | None, said: str, tmp_path: Path) -> None:
    file = tmp_path / "mine.json"
    if text is not None:
        file.write_text(text)
    notice = notice_of(incident(), "chat")
    assert notice is not None

    with pytest.raises(TemplateError, match=said):
        load_template(str(file)).fill(fields_of(notice, ReceiverSettings(url="http://there"), SETTINGS))


@pytest.mark.parametrize("name", BUILT_IN)
@pytest.mark.parametrize("given", [{}, RESOLVED, ACKNOWLEDGED], ids=["page", "resolved", "acknowledged"])
def test_every_template_that_comes_with_it_fills_in_for_every_notice(
    name: str, given: dict[str, Any]
) -> None:
    told = json.dumps(Receiver(template=name).takes(incident(**given)))

    assert "i1" in told


# -- Alertmanager -----------------------------------------------------------------------------------------


def test_an_alert_is_renewed_until_its_incident_is_over_and_then_ends() -> None:
    manager = Receiver(kind="alertmanager")
    renew_ms = int(1_000 * SETTINGS.renew_s)

    (first,) = manager.takes(incident())
    assert manager.takes(incident(), now_ms=NOW_MS + renew_ms - 1) is None
    (renewed,) = manager.takes(incident(**ACKNOWLEDGED), now_ms=NOW_MS + renew_ms)
    (ended,) = manager.takes(incident(**RESOLVED), now_ms=NOW_MS + renew_ms + 1)

    assert first["labels"] == renewed["labels"] == ended["labels"]
    assert first["labels"] == {
        "alertname": "streaming_quality_drop",
        "severity": "high",
        "subject": "cdn=7",
        "cdn": "7",
        OURS: "i1",
    }
    assert first["endsAt"] < renewed["endsAt"]
    assert ended["endsAt"] == "2023-11-14T22:13:20.000Z"
    assert manager.takes(incident(**RESOLVED), now_ms=NOW_MS + 10 * renew_ms) is None


def test_an_alert_whose_labels_change_ends_under_the_old_ones() -> None:
    manager = Receiver(kind="alertmanager")
    manager.takes(incident())
    refined = incident(cause={"cdn": "7", "isp": "3"})

    old, new = manager.takes(refined, now_ms=NOW_MS + 1_000)

    assert (old["labels"], old["endsAt"]) == (labels_of(incident()), "2023-11-14T22:13:21.000Z")
    assert new["labels"]["isp"] == "3"
    assert manager.takes(refined, now_ms=NOW_MS + 2_000) is None


def test_an_incident_that_never_paged_is_no_alert() -> None:
    assert Receiver(kind="alertmanager").takes(incident(paging=False, pages=0)) is None
