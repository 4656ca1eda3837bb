"""What every actor checks before it obeys: who asks, in which order, for how long, within which limits."""

from __future__ import annotations

import hmac
from collections.abc import Mapping, Set
from dataclasses import dataclass, field

import msgspec

from config.sections import ActorSettings
from topics import OUTCOMES
from topics.commands import Command, CommandKind, Outcome, OutcomeStatus
from topics.emission import Emission
from topics.fields import derive_id


@dataclass(frozen=True, slots=True)
class Keyring:
    """The key that commands are signed with, and those that are believed beside it.

    A key is changed without a gap in three steps: everyone is given the new one among `others`; then it
    becomes the `current` one and the old one goes among `others`; then the old one is left out.
    """

    current: str = ""
    """Empty leaves commands unsigned and believes everyone."""
    current_id: str = ""
    """Names the current key in what is signed with it."""
    others: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Keys believed besides, by their ids."""

    def key_of(self, key_id: str) -> str:
        """Return the key of that name; empty where there is none."""
        return self.current if key_id == self.current_id else self.others.get(key_id, "")


Key = str | Keyring
"""One key without a name, or a ring of them."""


def keyring(settings: ActorSettings) -> Keyring:
    """Return the keys that the settings name."""
    return Keyring(settings.signing_key, settings.signing_key_id, settings.other_keys)


def signed(command: Command, key: Key) -> Command:
    """Return the command with its signature, or as it is where no key is set.

    >>> from topics.commands import CommandKind
    >>> command = Command(time_ms=1, kind=CommandKind.RESUME, target="everyone", generation=1, owner="ada",
    ...                   reason="mended", expires_ms=2)
    >>> is_genuine(signed(command, "secret"), "secret"), is_genuine(command, "secret")
    (True, False)
    >>> is_genuine(command, "")
    True
    """
    ring = _ring(key)
    if not ring.current:
        return command
    named = msgspec.structs.replace(command, key_id=ring.current_id)
    return msgspec.structs.replace(named, signature=_signature(named, ring.current))


def is_genuine(command: Command, key: Key) -> bool:
    """Whether the command was signed with a key of the ring; without a current key everyone is believed.

    >>> from topics.commands import CommandKind
    >>> command = Command(time_ms=1, kind=CommandKind.RESUME, target="everyone", generation=1, owner="ada",
    ...                   reason="mended", expires_ms=2)
    >>> old, new = Keyring("a", "may"), Keyring("b", "june", {"may": "a"})
    >>> is_genuine(signed(command, old), new), is_genuine(signed(command, new), old)
    (True, False)
    """
    ring = _ring(key)
    if not ring.current:
        return True
    secret = ring.key_of(command.key_id)
    return bool(secret) and hmac.compare_digest(
        command.signature.encode(), _signature(command, secret).encode()
    )


def _ring(key: Key) -> Keyring:
    return key if isinstance(key, Keyring) else Keyring(key)


def concerns(command: Command, kinds: Set[CommandKind], in_force: str) -> bool:
    """Whether a command is for the actor that minds `kinds` and has obeyed the command `in_force`.

    A resume that does not say what kind it undoes is for the actor that has obeyed the one it names.
    """
    if command.kind is not CommandKind.RESUME:
        return command.kind in kinds
    if command.undoes_kind is None:
        return bool(in_force) and command.undoes == in_force
    return command.undoes_kind in kinds


def objection(command: Command, generation: int, key: Key) -> str:
    """Return why a command must not be obeyed, or nothing.

    Args:
        generation: of the last command obeyed for its target.
        key: what commands are signed with; empty where they are not.
    """
    if not is_genuine(command, key):
        named = f" {command.key_id}" if command.key_id else ""
        return f"its signature is not that of a key{named} the actor knows"
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
