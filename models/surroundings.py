"""What is known around an incident and its leases when something is decided about them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from config.sections import PolicySettings
from models import words
from models.cdn_loads import CdnLoad, cdn_loads
from models.served import Answers
from topics.cdn import NodeReport
from topics.controls import Control, ControlVerb, control_key
from topics.incidents import Incident
from topics.ingest import PipelineSelection
from topics.policies import Policy
from topics.steering import SteeringAnswer
from topics.verifications import Pulse, Verdict, Verification

FAILED = (Verdict.HARMED, Verdict.NO_EFFECT)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What is known around an incident when it is decided about."""

    policies: Sequence[Policy] = ()
    nodes: Sequence[NodeReport] = ()
    incidents: Sequence[Incident] = ()
    """All that are known; those that last tell which CDNs viewers ail on."""
    answers: Answers = field(default_factory=dict[str, SteeringAnswer])
    """The steering being served to every audience."""
    selection_of: Callable[[str], PipelineSelection | None] = lambda stream: None
    incident_of: Callable[[str], Incident | None] = lambda incident: None
    verification_of: Callable[[str], Verification | None] = lambda audience: None
    control_of: Callable[[str], Control | None] = lambda control: None
    pulse: Pulse | None = None
    """The newest window seen whole; absent where playback is not watched."""
    _loads: dict[tuple[float, ...], dict[str, CdnLoad]] = field(
        default_factory=dict[tuple[float, ...], dict[str, CdnLoad]], init=False, repr=False, compare=False
    )
    """Worked out once for all who ask at one time: there may be a thousand nodes, and as many leases."""

    def said(self, verb: ControlVerb, now_ms: int, incident: str = "") -> Control | None:
        """Return a person's word that holds now."""
        control = self.control_of(control_key(verb, incident))
        if control is None or not control.enabled:
            return None
        return control if control.until_ms is None or now_ms < control.until_ms else None

    def hands_off(self, now_ms: int, settings: PolicySettings) -> str:
        """Return why nothing may be changed now, or nothing."""
        frozen = self.said(ControlVerb.FREEZE, now_ms)
        if frozen is not None:
            return words.sentence(f"frozen by {frozen.by}: {frozen.reason or 'no reason given'}")
        if self.pulse is not None and now_ms - self.pulse.window_end_ms > 1_000 * settings.blind_after_s:
            age = words.lasting(now_ms - self.pulse.window_end_ms)
            return f"the pipeline is blind: no window of viewers was seen whole for {age}"
        return ""

    def loads(self, now_ms: int, settings: PolicySettings) -> dict[str, CdnLoad]:
        """Return the load of each CDN whose nodes have spoken lately."""
        asked = (now_ms, settings.max_report_age_s, settings.viewer_load_margin)
        if asked not in self._loads:
            max_age_ms = 1_000 * settings.max_report_age_s
            self._loads[asked] = cdn_loads(
                self.nodes, now_ms, max_age_ms, self.pulse, settings.viewer_load_margin
            )
        return self._loads[asked]

    def failed(self, audience: str, incident: str) -> Verification | None:
        """Return the verification that says a move of `audience` for `incident` did not help."""
        found = self.verification_of(audience)
        if found is None or found.incident != incident or found.verdict not in FAILED:
            return None
        return found


def described(found: Verification) -> str:
    """Return a verification in words."""
    moved = words.percent(found.moved_bad / found.moved_viewers) if found.moved_viewers else "none"
    control = words.percent(found.control_bad / found.control_viewers) if found.control_viewers else "none"
    verdict = {
        Verdict.HELPED: "it helps",
        Verdict.HARMED: "it harms",
        Verdict.NO_EFFECT: "it has not helped in the time it should take",
        Verdict.UNKNOWN: "it is not known yet whether it helps",
    }[found.verdict]
    return (
        f"{verdict}: {moved} of {words.viewers(found.moved_viewers)} moved stall or fail,"
        f" {control} of {words.viewers(found.control_viewers)} not moved"
    )
