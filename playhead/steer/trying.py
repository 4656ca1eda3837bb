"""What would be done now about an incident, under the policies in force or under others."""

from __future__ import annotations

from pathlib import Path

import msgspec

from config import Settings
from models.policy import PolicyEngine
from models.served import in_force
from models.stewardship import Steward
from playhead.steer.known import Known
from topics import POLICIES, ContractError
from topics.commands import Command, Outcome
from topics.errors import PlayheadError
from topics.incidents import Incident
from topics.policies import Policy


class PolicyFileError(PlayheadError):
    """A file holds no policies."""

    exit_code = 2


class Trial(msgspec.Struct, frozen=True):
    """What would be done, and why nothing else."""

    incident: str
    policies: list[str]
    commands: list[Command]
    held: list[str]
    """Why nothing would be done, or nothing more."""


def read_policies(path: Path) -> list[Policy]:
    """Return the policies in a file: one record of JSON, or one a line.

    Raises:
        PolicyFileError: it cannot be read, or a record breaks the contract.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise PolicyFileError(f"{path}: cannot be read: {error}") from error
    try:
        return [POLICIES.decode(text.encode())]
    except ContractError:
        lines = [(number, line) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    policies = []
    for number, line in lines:
        try:
            policies.append(POLICIES.decode(line.encode()))
        except ContractError as error:
            raise PolicyFileError(f"{path}, line {number}: {error.reason}") from error
    if not policies:
        raise PolicyFileError(
            f"{path}: is empty; expected a policy in JSON, such as `playhead topics show policies`"
        )
    return policies


def attempt(known: Known, incident: Incident, settings: Settings, policies: list[Policy] | None) -> Trial:
    """Return what would be done now about `incident`; nothing is published.

    Args:
        policies: in place of those in force.
    """
    around = known.around(settings, policies)
    now = msgspec.structs.replace(incident, time_ms=max(incident.time_ms, known.now_ms))
    _, emissions = PolicyEngine(settings.policy, "").step(None, now, around)
    records = [emission.record for emission in emissions]
    commands = [record for record in records if isinstance(record, Command)]
    held = [record.reason for record in records if isinstance(record, Outcome)]
    steward = Steward(settings.policy, "")
    for answer in in_force(known.answers.values(), known.now_ms):
        if answer.incident == incident.incident:
            command = steward.next(answer, around, known.now_ms)
            if command is not None:
                commands.append(command)
    if not commands and not held:
        held.append("what is in force stays as it is")
    return Trial(incident.incident, [policy.policy for policy in around.policies], commands, held)
