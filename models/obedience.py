"""What every actor checks before it obeys: who asks, in which order, for how long, within which limits."""

from __future__ import annotations

import hmac
from collections.abc import Set

import msgspec

from topics import OUTCOMES
from topics.commands import Command, CommandKind, Outcome, OutcomeStatus
from topics.emission import Emission
from topics.fields import derive_id


def signed(command: Command, key: str) -> Command:
    """Return the command with its signature, or as it is where no key is set.

    >>> from topics.commands import CommandKind
    >>> command = Command(time_ms=1, kind=CommandKind.RESUME, target="everyone", generation=1, owner="ada",
    ...                   reason="mended", expires_ms=2)
    >>> is_genuine(signed(command, "secret"), "secret"), is_genuine(command, "secret")
    (True, False)
    >>> is_genuine(command, "")
    True
    """
    return msgspec.structs.replace(command, signature=_signature(command, key)) if key else command


def is_genuine(command: Command, key: str) -> bool:
    """Whether the command was signed with `key`; without a key everyone is believed."""
    return not key or hmac.compare_digest(command.signature, _signature(command, key))


def concerns(command: Command, kinds: Set[CommandKind], in_force: str) -> bool:
    """Whether a command is for the actor that minds `kinds` and has obeyed the command `in_force`.

    A resume that does not say what kind it undoes is for the actor that has obeyed the one it names.
    """
    if command.kind is not CommandKind.RESUME:
        return command.kind in kinds
    if command.undoes_kind is None:
        return bool(in_force) and command.undoes == in_force
    return command.undoes_kind in kinds


def objection(command: Command, generation: int, key: str) -> str:
    """Return why a command must not be obeyed, or nothing.

    Args:
        generation: of the last command obeyed for its target.
        key: what commands are signed with; empty where they are not.
    """
    if not is_genuine(command, key):
        return "its signature is not that of the key the actor knows"
    if command.generation <= generation:
        return f"generation {command.generation} is not newer than {generation}, which was obeyed before"
    if command.kind is not CommandKind.RESUME and command.expires_ms <= command.time_ms:
        return "its lease is over before it begins"
    if command.share > command.limits.max_share:
        return f"a share of {command.share:g} exceeds its limit of {command.limits.max_share:g}"
    return ""


def outcome(
    command: Command, actor: str, status: OutcomeStatus, reason: str, *, before: str = "", after: str = ""
) -> Emission:
    """Return what became of a command; the same command has the same outcome, with the same id."""
    return Emission(
        OUTCOMES,
        Outcome(
            id=derive_id("outcome", actor, command.id, command.target, command.generation),
            time_ms=command.time_ms,
            command_id=command.id or derive_id("command", command.target, command.generation),
            kind=command.kind,
            target=command.target,
            incident=command.incident,
            actor=actor,
            status=status,
            reason=reason,
            before=before,
            after=after,
        ),
    )


def _signature(command: Command, key: str) -> str:
    unsigned = msgspec.structs.replace(command, signature="")
    canonical = msgspec.json.encode(unsigned, order="deterministic")
    return hmac.new(key.encode(), canonical, "sha256").hexdigest()
