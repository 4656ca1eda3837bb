"""The control room over a simulated fleet: the pipeline's own models, joined as its agents join them.

Windows of the fleet are judged, causes found, incidents opened, commands given, verified, widened, undone and
brought back by the very models that run on Kafka. What is simulated is the world, not the brain.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from config import Settings
from models.incidents import Incidents, Subject
from models.leases import lapsed
from models.policy import Decided, PolicyEngine
from models.pulse import pulse_of
from models.qoe import QoeJudge
from models.steering import Steered, Steering
from models.steering_order import share_at
from models.stewardship import Steward
from models.surroundings import Surroundings
from models.verification import Arms, Verifier
from models.window_merge import MergedWindow
from playhead.lab.world import FaultStory, World
from topics.anomalies import Anomaly
from topics.cdn import NodeReport
from topics.cohorts import MEASURES
from topics.commands import Command
from topics.emission import Emission
from topics.incidents import Incident, IncidentState
from topics.policies import Policy
from topics.steering import SteeringAnswer
from topics.verifications import Pulse, Verification

Floats = NDArray[np.float64]

NODES_PER_CDN = 10
REPORT_S = 2
ENDING = 0.05
"""Share of the viewers whose play ends within a window, in health."""
BACKGROUND_STALLS = 0.004
"""Share of healthy viewers who stall in a window all the same."""

_AT = {name: column for column, name in enumerate(MEASURES)}


@dataclass
class ControlRoom:
    """Watches a world and acts on it."""

    settings: Settings
    policies: list[Policy]
    world: World
    rng: np.random.Generator
    commands: list[Command] = field(default_factory=list)
    incidents: dict[str, Incident] = field(default_factory=dict)
    answers: dict[str, SteeringAnswer] = field(default_factory=dict)
    verifications: dict[str, Verification] = field(default_factory=dict)

    def __post_init__(self) -> None:
        settings, key = self.settings, self.settings.actors.signing_key
        self._judge = QoeJudge(settings)
        self._incidents = Incidents(settings.incidents)
        self._engine, self._steward = PolicyEngine(settings.policy, key), Steward(settings.policy, key)
        self._steering = Steering(
            ttl_s=settings.policy.steering_ttl_s, signing_key=key, flap_window_s=settings.policy.flap_window_s
        )
        self._verifier = Verifier(settings.policy)
        self._subjects: dict[str, Subject] = {}
        self._decided: dict[str, Decided] = {}
        self._steered: dict[str, Steered] = {}
        self._arms: dict[str, Arms] = {}
        self._nodes: list[NodeReport] = []
        self._pulse: Pulse | None = None
        self._stalled = np.zeros_like(self.world.on)
        self._window_s = int(settings.qoe.window_s)

    def target(self) -> Floats:
        """Return where the answers being served want the viewers, shape (audiences, CDNs)."""
        fleet, now_ms = self.world.fleet, self._now_ms
        wanted = self.world.normal.copy()
        for answer in self.answers.values():
            if not answer.command_id or not answer.pathway_priority:
                continue
            share = share_at(answer, now_ms)
            away = fleet.cdns.index(answer.away_from)
            split = answer.split or {answer.pathway_priority[0]: 1.0}
            for row, (isp, region) in enumerate(fleet.audiences):
                if answer.cell.items() <= {"isp": isp, "region": region}.items():
                    moved = share * self.world.normal[row, away]
                    wanted[row, away] -= moved
                    for cdn, part in split.items():
                        wanted[row, fleet.cdns.index(cdn)] += part * moved
        return np.maximum(wanted, 0.0)

    def look(self) -> None:
        """Take in the second that has passed, and act."""
        world = self.world
        self._stalled = np.maximum(self._stalled, world.stalled())
        if world.now_s % REPORT_S == 0:
            self._nodes = self._reports()
        if world.now_s % self._window_s == 0:
            self._close_window()
        now_ms = self._now_ms
        for answer in list(self.answers.values()):
            over = lapsed(answer, now_ms, self.settings.actors.signing_key)
            if over is not None:
                self._obey(over)
        known = self._around()
        for command in self._steward.look(known, now_ms):
            self._obey(command)
        served = {each.incident for each in self.answers.values() if each.command_id}
        for incident in list(self.incidents.values()):
            if incident.state is not IncidentState.RESOLVED and incident.incident not in served:
                self._act(self._engine.step(None, incident, known)[1])

    # -- from windows to commands -------------------------------------------------------------------------

    @property
    def _now_ms(self) -> int:
        return 1_000 * self.world.now_s

    def _close_window(self) -> None:
        window = self._window()
        self._stalled = np.zeros_like(self._stalled)
        self._pulse = pulse_of(window, "verify")
        for audience, answer in self.answers.items():
            found = self._verifier.step(self._arms.get(audience), answer, window)
            if found is not None:
                self._arms[audience], self.verifications[audience] = found
        for anomaly in self._judge.judge(window)[1]:
            self._tell(anomaly)

    def _tell(self, anomaly: Anomaly) -> None:
        state, emissions = self._incidents.step(self._subjects.get(anomaly.subject), anomaly)
        self._subjects[anomaly.subject] = state
        for emission in emissions:
            incident = emission.record
            assert isinstance(incident, Incident)
            self.incidents[incident.incident] = incident
            decided, decisions = self._engine.step(
                self._decided.get(incident.incident), incident, self._around()
            )
            self._decided[incident.incident] = decided
            self._act(decisions)

    def _act(self, emissions: list[Emission]) -> None:
        for emission in emissions:
            record = emission.record
            if isinstance(record, Command) and not record.dry_run:
                self._obey(record)

    def _obey(self, command: Command) -> None:
        state, emissions = self._steering.step(self._steered.get(command.target), command)
        self._steered[command.target] = state
        for emission in emissions:
            if isinstance(emission.record, SteeringAnswer):
                self.commands.append(command)
                self.answers[emission.record.audience] = emission.record

    def _around(self) -> Surroundings:
        return Surroundings(
            policies=self.policies,
            nodes=self._nodes,
            incidents=list(self.incidents.values()),
            answers=dict(self.answers),
            incident_of=self.incidents.get,
            verification_of=self.verifications.get,
            pulse=self._pulse,
        )

    # -- what the fleet reports ---------------------------------------------------------------------------

    def _window(self) -> MergedWindow:
        """Return the window that ends now, one leaf cell an audience and CDN, counts drawn by chance."""
        world, fleet = self.world, self.world.fleet
        viewers = np.rint(world.on)
        rate = np.divide(self._stalled, world.on, out=np.zeros_like(viewers), where=world.on > 0)
        rate = np.clip(rate, 0, 1)
        failing = np.zeros_like(viewers)
        if fleet.story is FaultStory.CORRUPTION:
            # What cannot be played fails at once: no buffer helps against it.
            failing = (1 - world.delivered()) * (world.delivered() < 1)
            rate = np.where(failing > 0, 0.0, rate)
        counts = viewers.astype(np.int64)
        background = 1 - (1 - rate) * (1 - BACKGROUND_STALLS)
        sums = np.zeros((viewers.size, len(MEASURES)))
        sums[:, _AT["viewers"]] = viewers.ravel()
        sums[:, _AT["stalled_viewers"]] = self.rng.binomial(counts, background).ravel()
        failed = self.rng.binomial(counts, np.clip(failing, 0, 1)).ravel()
        sums[:, _AT["playback_failures"]] = failed
        sums[:, _AT["ended_plays"]] = failed + ENDING * counts.ravel()
        sums[:, _AT["play_ms"]] = 1_000.0 * self._window_s * viewers.ravel()
        cells = [(cdn, isp, region) for isp, region in fleet.audiences for cdn in fleet.cdns]
        kept = viewers.ravel() > 0
        return MergedWindow(
            start_ms=self._now_ms - 1_000 * self._window_s,
            window_ms=1_000 * self._window_s,
            dimensions=("cdn", "isp", "region"),
            cells=[cell for cell, keep in zip(cells, kept.tolist(), strict=True) if keep],
            sums=sums[kept],
            origin_ms=None,
        )

    def _reports(self) -> list[NodeReport]:
        """Return each node's own word; dead ones say so."""
        world, fleet = self.world, self.world.fleet
        load, usual, capacity = world.load_gbps, fleet.capacity_gbps, world.capacity_gbps
        reports = []
        for at, cdn in enumerate(fleet.cdns):
            dies = world.broken and fleet.story is FaultStory.HARDWARE and at == fleet.cdn
            alive = max(round(NODES_PER_CDN * (1 - fleet.depth)), 0) if dies else NODES_PER_CDN
            of_each = (capacity[at] if not dies else usual[at] * alive / NODES_PER_CDN) / max(alive, 1)
            for node in range(NODES_PER_CDN):
                well = node < alive
                reports.append(
                    NodeReport(
                        time_ms=self._now_ms,
                        node=f"{cdn}-{node}",
                        cdn=cdn,
                        capacity_gbps=float(max(of_each if well else usual[at] / NODES_PER_CDN, 1e-6)),
                        load=float(min(load[at] / alive / of_each, 1.0)) if well and of_each > 0 else 0.0,
                        healthy=well,
                        error_rate=0.0,
                    )
                )
        return reports
