"""Turns fail-over commands into the pipeline that is served for each live stream.

A selection stays: what was switched to is served until another command switches again. The resume of a
fail-over ends the command and leaves the selection, since to return to the first pipeline would be a second
switch that no viewer needs; whoever wants it commands it, and it passes the same guards.
"""

from __future__ import annotations

import msgspec

from config.sections import ActorSettings
from models import words
from models.obedience import concerns, keyring, objection, outcome
from topics import SELECTION
from topics.commands import Command, CommandKind, OutcomeStatus
from topics.emission import Emission
from topics.fields import derive_id
from topics.ingest import PipelineSelection

ACTOR = "ingest"
KINDS = frozenset({CommandKind.FAIL_OVER})


class Selected(msgspec.Struct, frozen=True):
    """What is served for a stream, and how it came to be."""

    generation: int = -1
    """Of the last command obeyed."""
    selection: PipelineSelection | None = None
    in_force: str = ""
    """The fail-over that has not been resumed, and its incident."""
    incident: str = ""
    last_id: str = ""
    """The last command obeyed."""
    switches_ms: list[int] = []
    """Event times of the last switches."""


class Selection:
    """Obeys the fail-over commands of each stream.

    Args:
        settings: how many switches are too many, and what commands must be signed with.

    Example:
        >>> from config import load
        >>> switch = Command(
        ...     time_ms=14_000, id="c1", kind=CommandKind.FAIL_OVER, target="final", generation=1,
        ...     owner="policy", reason="A misses segments", expires_ms=60_000, pipeline="B", from_sequence=7)
        >>> selected, emissions = Selection(load({}).settings.actors).step(None, switch)
        >>> emissions[0].record.pipeline, emissions[1].record.after
        ('B', 'B from segment 7')
    """

    def __init__(self, settings: ActorSettings) -> None:
        self._settings = settings
        self._keys = keyring(settings)

    def step(self, state: Selected | None, command: Command) -> tuple[Selected, list[Emission]]:
        """Return what is served after `command`, the selection if it changed, and the outcome."""
        selected = state or Selected()
        if not concerns(command, KINDS, selected.in_force):
            return selected, []
        if command.id and command.id == selected.last_id:
            return selected, []
        no = objection(command, selected.generation, self._keys)
        if not no and command.kind is CommandKind.RESUME and not _is_in_force(selected, command):
            no = f"{command.undoes or 'the command'} is not in force: {selected.in_force or 'nothing'} is"
        if not no and command.kind is CommandKind.FAIL_OVER:
            no = self._cannot_switch(selected, command)
        if no:
            return selected, [outcome(command, ACTOR, OutcomeStatus.REFUSED, no)]
        before = _told(selected.selection)
        if command.dry_run:
            said = words.sentence(f"a dry run: {command.reason}")
            after = (
                before
                if command.kind is CommandKind.RESUME
                else _told(_selection(command, selected.selection))
            )
            status = OutcomeStatus.DRY_RUN
            return selected, [outcome(command, ACTOR, status, said, before=before, after=after)]
        if command.kind is CommandKind.RESUME:
            resumed = msgspec.structs.replace(
                selected, generation=command.generation, in_force="", last_id=command.id
            )
            said = words.sentence(f"{command.reason}; the stream stays where it is")
            return resumed, [outcome(command, ACTOR, OutcomeStatus.UNDONE, said, before=before, after=before)]
        selection = _selection(command, selected.selection)
        switched = Selected(
            generation=command.generation,
            selection=selection,
            in_force=command.id,
            incident=command.incident,
            last_id=command.id,
            switches_ms=[*selected.switches_ms, command.time_ms][-self._settings.max_switches :],
        )
        told = outcome(
            command, ACTOR, OutcomeStatus.APPLIED, command.reason, before=before, after=_told(selection)
        )
        return switched, [Emission(SELECTION, selection), told]

    def _cannot_switch(self, selected: Selected, command: Command) -> str:
        """Return why the stream must stay where it is, or nothing."""
        if not command.pipeline:
            return "it names no pipeline"
        if not command.id:
            return "it has no id to be undone by"
        served = selected.selection
        if served is not None and served.pipeline == command.pipeline:
            return f"{command.pipeline} is served already"
        if served is not None and _first(command, served) <= served.from_sequence:
            return (
                f"segment {command.from_sequence} is published: "
                f"{served.pipeline} is served from {served.from_sequence}"
            )
        since_ms = command.time_ms - self._settings.switch_window_s * 1_000
        recent = [at_ms for at_ms in selected.switches_ms if at_ms > since_ms]
        if len(recent) >= self._settings.max_switches:
            within = words.lasting(self._settings.switch_window_s * 1_000)
            return f"held: {len(recent)} switches within {within} are enough; a person must look at it"
        return ""


def _is_in_force(selected: Selected, command: Command) -> bool:
    """Whether there is something to resume: the fail-over named, or the last one of the same incident."""
    same_incident = bool(command.incident) and command.incident == selected.incident
    return bool(selected.in_force) and (command.undoes == selected.in_force or same_incident)


def _first(command: Command, served: PipelineSelection | None) -> int:
    """Return the first segment that `command` asks for; where it names none, the next that can be."""
    if command.from_sequence is not None:
        return command.from_sequence
    return served.from_sequence + 1 if served is not None else 0


def _selection(command: Command, served: PipelineSelection | None) -> PipelineSelection:
    return PipelineSelection(
        id=derive_id("selection", command.target, command.id, command.generation),
        time_ms=command.time_ms,
        stream=command.target,
        pipeline=command.pipeline,
        from_sequence=_first(command, served),
        generation=command.generation,
        command_id=command.id,
        reason=command.reason,
    )


def _told(selection: PipelineSelection | None) -> str:
    """Return in words what is served."""
    if selection is None:
        return "not known"
    return f"{selection.pipeline} from segment {selection.from_sequence}"
