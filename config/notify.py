"""The section of the settings that says who is told of incidents, and how."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from config.sections import PositiveFloat, Section


class ReceiverSettings(Section):
    """One place to tell. Of a receiver only `url` must be set: what else there is depends on what it is."""

    url: Annotated[str, Field(pattern=r"^https?://")]
    kind: Literal["webhook", "alertmanager"] = "webhook"
    template: str = "webhook"
    """webhook, slack, pagerduty, or a JSON file of one's own."""
    key: str = ""
    """What the receiver knows the sender by, such as PagerDuty's routing key: {key} in templates."""
    secret: str = ""
    """Messages are signed with it where it is set."""
    headers: dict[str, str] = Field(default_factory=dict)
    min_severity: Literal["low", "medium", "high", "critical"] = "low"
    match: dict[str, str] = Field(default_factory=dict)
    """It is told only of incidents of which all this is true, as with silences."""


class NotifySettings(Section):
    """Who is told of incidents, and how often it is tried."""

    timeout_s: PositiveFloat
    backoff_first_s: PositiveFloat
    backoff_most_s: PositiveFloat
    look_every_s: PositiveFloat
    max_age_s: PositiveFloat
    renew_s: PositiveFloat
    lapse_s: PositiveFloat
    runbook_url: str
    incident_url: str
    receivers: dict[Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]+$", max_length=60)], ReceiverSettings]
