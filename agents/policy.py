"""Decides what is done about incidents: incidents ─▶ commands, or outcomes that say why nothing is done."""

from __future__ import annotations

from agents.event_clock import EventClock
from agents.keyed import keep
from agents.ports import App, Publish
from config import Settings
from models.leases import renewed
from models.policy import Decided, PolicyEngine, Surroundings
from topics import CDN_NODES, COMMANDS, INCIDENTS, POLICIES, SELECTION, STEERING
from topics.emission import Emission
from topics.incidents import Incident


def attach(app: App, settings: Settings, publish: Publish) -> None:
    """Decide about each incident as it changes, and go on with the leases of those that last."""
    key = settings.actors.signing_key
    engine = PolicyEngine(settings.policy, key)
    policies, nodes = app.view(POLICIES), app.view(CDN_NODES)
    answers, selections = app.view(STEERING), app.view(SELECTION)
    incidents = app.view(INCIDENTS)
    clock = EventClock()

    def step(state: Decided | None, incident: Incident) -> tuple[Decided, list[Emission]]:
        clock.see(incident.time_ms)
        around = Surroundings(
            policies=list(policies.values()),
            nodes=list(nodes.values()),
            answers=list(answers.values()),
            selection_of=selections.get,
        )
        return engine.step(state, incident, around)

    async def renew_leases() -> None:
        """Go on with every lease that must not end yet; said twice it has the same id."""
        now_ms = clock.now_ms()
        if now_ms is None:
            return
        allowed = list(policies.values())
        going_on = (
            renewed(answer, incidents.get(answer.incident), allowed, now_ms, settings.policy, key)
            for answer in answers.values()
        )
        await publish([Emission(COMMANDS, command) for command in going_on if command is not None])

    keep(app, settings, publish, name="policy", spec=INCIDENTS, state=Decided, step=step)
    app.timer(settings.actors.lease_check_s)(renew_leases)
