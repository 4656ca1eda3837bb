"""Verifies what was done: cohorts.parts ─▶ verifications, pulse.

It reads the windows a second time, as a group of its own, so that judging never waits for it. Which answer
was in force in a window is read from `steering` as it is known when the window closes.
"""

from __future__ import annotations

import msgspec

from agents.ports import App, Batch, Publish, View
from config import Settings
from models.pulse import pulse_of
from models.verification import Arms, Verifier, is_compared
from models.window_merge import Fate, MergedWindow, WindowMerge
from topics import COHORT_PARTS, PULSE, STEERING, VERIFICATIONS, ContractError
from topics.emission import Emission
from topics.steering import SteeringAnswer

NAME = "verify"


def attach(app: App, settings: Settings, publish: Publish) -> None:
    """Run the verifier over `cohorts.parts`, which has a single partition."""
    del publish  # a lane publishes what its processor returns
    answers = app.view(STEERING)
    app.lane(NAME, COHORT_PARTS, lambda _partition, _partitions: WindowVerifier(settings, answers))


class _State(msgspec.Struct, array_like=True):
    merge: bytes
    arms: dict[str, Arms]


_STATES = msgspec.msgpack.Decoder(_State)


class WindowVerifier:
    """Implements `agents.ports.LaneProcessor`."""

    def __init__(self, settings: Settings, answers: View[SteeringAnswer]) -> None:
        self._merge = WindowMerge(idle_holds_ms=int(3_000 * settings.engine.idle_after_s))
        self._verifier = Verifier(settings.policy)
        self._answers = answers
        self._arms: dict[str, Arms] = {}

    def process(self, batch: Batch) -> list[Emission]:
        """Return what the windows that are whole say about the answers in force."""
        emissions: list[Emission] = []
        taken = 0
        for index, value in enumerate(batch.values):
            try:
                part = COHORT_PARTS.decode(value)
            except ContractError:
                continue  # the judge has sent it to the dead letters
            taken += self._merge.add(part, batch.times_ms[index]) is not Fate.LATE
            for window in self._merge.close():
                emissions += self._look(window)
        batch.tally(processed=taken)
        return emissions

    def _look(self, window: MergedWindow) -> list[Emission]:
        served = {answer.audience: answer for answer in self._answers.values() if is_compared(answer)}
        # Trouble that comes back is compared anew: what was seen before the way back was of another fault.
        self._arms = {audience: arms for audience, arms in self._arms.items() if audience in served}
        emissions = []
        for audience, answer in sorted(served.items()):
            found = self._verifier.step(self._arms.get(audience), answer, window)
            if found is not None:
                self._arms[audience], verification = found
                emissions.append(Emission(VERIFICATIONS, verification))
        return [*emissions, Emission(PULSE, pulse_of(window, NAME))]

    def idle(self) -> list[Emission]:
        """Say nothing: windows wait for their parts, and a pulse that fails to come says enough."""
        return []

    def awake(self) -> list[Emission]:
        """Say nothing."""
        return []

    def snapshot(self) -> bytes:
        """Return the open windows and what was seen of each audience."""
        return msgspec.msgpack.encode(_State(self._merge.snapshot(), self._arms))

    def restore(self, data: bytes) -> None:
        """Go on from `snapshot`."""
        state = _STATES.decode(data)
        self._merge.restore(state.merge)
        self._arms = state.arms
