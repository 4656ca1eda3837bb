"""Decides what is done about incidents: incidents ─▶ commands, or outcomes that say why nothing is done.

Each incident is decided about as it changes, and again while it is open and nothing is in force for it: a
backup may have got room, a person may have approved; one so old that a person must look at it is left. What
is in force is looked after by the steward. Both follow from compacted topics alone, so that any worker may
say them; said twice they have the same id.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from agents.event_clock import EventClock
from agents.keyed import keep
from agents.ports import App, Publish
from config import Settings
from models.incidents.standing import firing_since_ms
from models.node_health import judged
from models.obedience import keyring
from models.policy import Decided, PolicyEngine
from models.promises import MOVES, Promises
from models.recent_ids import RecentIds
from models.served import in_force
from models.stewardship import Steward
from models.surroundings import Surroundings
from topics import (
    CDN_NODES,
    COMMANDS,
    CONTROLS,
    INCIDENTS,
    POLICIES,
    PULSE,
    SELECTION,
    STEERING,
    VERIFICATIONS,
)
from topics.commands import Command
from topics.emission import Emission
from topics.incidents import Incident, IncidentState
from topics.verifications import Pulse


def attach(app: App, settings: Settings, publish: Publish) -> None:
    """Decide about each incident as it changes, and look after the leases in force."""
    key = keyring(settings.actors)
    engine, steward = PolicyEngine(settings.policy, key), Steward(settings.policy, key)
    policies, nodes, controls = app.view(POLICIES), app.view(CDN_NODES), app.view(CONTROLS)
    answers, selections = app.view(STEERING), app.view(SELECTION)
    verifications, pulses = app.view(VERIFICATIONS), app.view(PULSE)
    incidents = app.view(INCIDENTS)
    clock = EventClock()
    retry_ms = int(1_000 * settings.policy.retry_after_s)
    oldest_ms = int(1_000 * settings.policy.renew_for_s)
    told = RecentIds(settings.engine.remembered_ids)
    promises = Promises(settings.policy.obey_within_s, settings.policy.steering_ttl_s)

    def note(commands: Iterable[Command]) -> None:
        for command in commands:
            promises.note(command, clock.now_ms() or command.time_ms)

    def around() -> Surroundings:
        return Surroundings(
            policies=list(policies.values()),
            nodes=[judged(node, settings.health) for node in nodes.values()],
            incidents=list(incidents.values()),
            answers=promises.with_promised(answers, clock.now_ms() or 0),
            selection_of=selections.get,
            incident_of=incidents.get,
            verification_of=verifications.get,
            control_of=controls.get,
            pulse=_newest(pulses.values()),
        )

    def step(state: Decided | None, incident: Incident) -> tuple[Decided, list[Emission]]:
        clock.see(incident.time_ms)
        decided, emissions = engine.step(state, incident, around())
        for command in _commands(emissions):
            told.add(command.id)
        note(each.record for each in emissions if isinstance(each.record, Command))
        return decided, emissions

    async def look_after() -> None:
        """Say what is due for the leases in force, and decide anew about open incidents without one."""
        for pulse in pulses.values():
            clock.see(pulse.time_ms)
        now_ms = clock.now_ms()
        if now_ms is None:
            return
        known = around()
        due = [command for command in steward.look(known, now_ms) if told.add(command.id)]
        note(due)
        served = {answer.incident for answer in in_force(known.answers.values(), now_ms)}
        for incident in incidents.values():
            # What has just changed is being decided about.
            quiet = now_ms - incident.time_ms >= retry_ms and now_ms - firing_since_ms(incident) <= oldest_ms
            lasts = quiet and incident.state is not IncidentState.RESOLVED
            if lasts and incident.incident not in served:
                # Around it is looked anew, for the last one may have taken the room.
                commands = _commands(engine.step(None, incident, around())[1])
                if any(command.expires_ms <= now_ms for command in commands):
                    # It was told so long ago that the lease would be over: it stands as it was told then.
                    now = msgspec.structs.replace(incident, time_ms=now_ms)
                    commands = _commands(engine.step(None, now, around())[1])
                commands = [command for command in commands if told.add(command.id)]
                note(commands)
                due += commands
        await publish([Emission(COMMANDS, command) for command in due])

    keep(app, settings, publish, name="policy", spec=INCIDENTS, state=Decided, step=step)
    app.timer(settings.actors.lease_check_s)(look_after)


def _newest(pulses: Iterable[Pulse]) -> Pulse | None:
    return max(pulses, key=lambda pulse: pulse.window_end_ms, default=None)


def _commands(emissions: Iterable[Emission]) -> list[Command]:
    """Return the moves in earnest: a proposal was told once, and a hold needs no telling each second.

    A fail-over is not tried again: its guards are its actor's, who has answered.
    """
    commands = [each.record for each in emissions if isinstance(each.record, Command)]
    return [each for each in commands if each.kind in MOVES and not each.dry_run]
