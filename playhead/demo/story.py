"""What was seen of the loop on the topics, and how far each incident came on its way around it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import NamedTuple, cast

from topics import (
    ANOMALIES,
    COMMANDS,
    DEAD_LETTERS,
    EXPERIMENT_RESULTS,
    INCIDENTS,
    OUTCOMES,
    RECOMMENDATIONS,
    SELECTION,
    STEERING,
)
from topics.anomalies import Anomaly, Phase
from topics.commands import Command, CommandKind
from topics.dead_letters import DeadLetter
from topics.experiments import ExperimentResult
from topics.fields import Record
from topics.incidents import Incident, IncidentState
from topics.ingest import PipelineSelection
from topics.spec import AnySpec
from topics.steering import SteeringAnswer

FOLLOWED: tuple[AnySpec, ...] = (
    ANOMALIES,
    INCIDENTS,
    COMMANDS,
    OUTCOMES,
    STEERING,
    SELECTION,
    RECOMMENDATIONS,
    EXPERIMENT_RESULTS,
    DEAD_LETTERS,
)

MOVES = frozenset({CommandKind.STEER, CommandKind.SHED})
"""Commands that the CDN actor turns into steering answers."""


class Told(NamedTuple):
    """One record, as it came from Kafka."""

    spec: AnySpec
    record: Record
    broker_ms: int


@dataclass(frozen=True, slots=True)
class Loop:
    """One incident's way around the loop; what was not seen of it is missing."""

    versions: list[Told]
    """The incident, each time it was told."""
    moves: list[Told]
    """Commands that move viewers because of it."""
    answers: list[Told]
    """Steering answers that obey them."""
    undo: Told | None
    """The answer that ended the last of them."""

    @property
    def newest(self) -> Incident:
        """The incident as it now stands."""
        return cast(Incident, self.versions[-1].record)

    @property
    def title(self) -> str:
        """The channel it is of; empty where it is not one channel's."""
        return self.newest.scope.get("title", "")

    @property
    def of_viewers(self) -> bool:
        """Whether it is about the viewers of a channel, or of several that share a cause."""
        return bool(self.title or self.moves)

    @property
    def recovered(self) -> bool:
        """Whether it is over."""
        return self.newest.state is IncidentState.RESOLVED

    @property
    def closed(self) -> bool:
        """Whether it went all the way: named, commanded, steered, recovered, undone."""
        return bool(self.newest.cause and self.answers and self.recovered and self.undo)

    @property
    def phase(self) -> str:
        """Where it is."""
        if self.answers and self.undo is None:
            return "steered"
        if self.recovered:
            return "undone" if self.undo is not None else "recovered"
        return "commanded" if self.moves and self.undo is None else "open"


class Story:
    """Takes in what is told and keeps what matters.

    Topics are read side by side, so that an answer may come before the command it obeys: what belongs
    together is put together when it is asked for.
    """

    def __init__(self) -> None:
        self.told: Counter[str] = Counter()
        """Records by topic."""
        self.anomalies: list[Anomaly] = []
        """Beginnings of episodes."""
        self.selections: list[PipelineSelection] = []
        self.dead: Counter[str] = Counter()
        """Refused records by topic."""
        self.results: dict[tuple[str, str], ExperimentResult] = {}
        """The newest result by experiment and metric."""
        self._incidents: dict[str, list[Told]] = {}
        self._moves: dict[str, list[Told]] = {}
        """By incident."""
        self._answers: dict[str, list[Told]] = {}
        """By audience."""

    def take(self, told: Told) -> None:
        """Take in one record."""
        self.told[told.spec.name] += 1
        match told.record:
            case Anomaly(phase=Phase.START) as anomaly:
                self.anomalies.append(anomaly)
            case Incident(incident=incident):
                self._incidents.setdefault(incident, []).append(told)
            case Command(dry_run=False, kind=kind, incident=incident) if kind in MOVES:
                self._moves.setdefault(incident, []).append(told)
            case SteeringAnswer(audience=audience):
                self._answers.setdefault(audience, []).append(told)
            case PipelineSelection() as selection:
                self.selections.append(selection)
            case DeadLetter(topic=topic):
                self.dead[topic] += 1
            case ExperimentResult(experiment=experiment, metric=metric) as result:
                self.results[experiment, metric] = result

    def loops(self) -> list[Loop]:
        """Return every incident's way so far, in the order of their opening."""
        return [self._loop(incident) for incident in self._incidents]

    def _loop(self, incident: str) -> Loop:
        moves = self._moves.get(incident, [])
        ids = {move.record.id for move in moves}
        audiences = {cast(Command, move.record).target: None for move in moves}
        told = [answer for audience in audiences for answer in self._answers.get(audience, [])]
        answers = [answer for answer in told if _answer(answer).command_id in ids]
        newest = max((_answer(answer).generation for answer in answers), default=None)
        undo = next(
            (
                answer
                for answer in told
                if newest is not None
                and not _answer(answer).command_id
                and _answer(answer).generation > newest
            ),
            None,
        )
        return Loop(self._incidents[incident], moves, answers, undo)


def _answer(told: Told) -> SteeringAnswer:
    return cast(SteeringAnswer, told.record)
