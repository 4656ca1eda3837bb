"""The CDN actor keeps `steering` true: commands ─▶ steering, outcomes."""

from __future__ import annotations

from agents.event_clock import EventClock
from agents.keyed import keep
from agents.ports import App, Publish
from config import Settings
from models.leases import lapsed
from models.obedience import keyring
from models.steering import ACTOR, Steered, Steering
from topics import COMMANDS, STEERING
from topics.commands import Command
from topics.emission import Emission


def attach(app: App, settings: Settings, publish: Publish) -> None:
    """Obey the commands to each audience, and end the leases that run out."""
    key = keyring(settings.actors)
    steering = Steering(
        ttl_s=settings.policy.steering_ttl_s, signing_key=key, flap_window_s=settings.policy.flap_window_s
    )
    answers = app.view(STEERING)
    clock = EventClock()

    def step(state: Steered | None, command: Command) -> tuple[Steered, list[Emission]]:
        clock.see(command.time_ms)
        return steering.step(state, command)

    keep(app, settings, publish, name=ACTOR, spec=COMMANDS, state=Steered, step=step)

    async def end_leases() -> None:
        """Command the resume of every lease that has run out; said twice it has the same id."""
        served = list(answers.values())
        if served:
            clock.see(max(answer.time_ms for answer in served))
        now_ms = clock.now_ms()
        if now_ms is None:
            return
        ended = (lapsed(answer, now_ms, key) for answer in served if answer.command_id)
        await publish([Emission(COMMANDS, command) for command in ended if command is not None])

    app.timer(settings.actors.lease_check_s)(end_leases)
