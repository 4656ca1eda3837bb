"""When a lease goes on, and when it ends: each as a command on the topic that it began on.

Both follow from the answer that is being served, so that any worker can see to it. Their times and ids follow
from the lease: whoever finds it first, and however often, it is the same command.
"""

from __future__ import annotations

from collections.abc import Iterable

from config.sections import PolicySettings
from models.obedience import signed
from models.steering import ACTOR
from topics.commands import Command, CommandKind
from topics.fields import derive_id
from topics.incidents import Incident, IncidentState
from topics.policies import Policy
from topics.steering import SteeringAnswer


def lapsed(answer: SteeringAnswer, now_ms: int, signing_key: str) -> Command | None:
    """Return the resume of the lease behind `answer` if it has run out by `now_ms`.

    >>> answer = SteeringAnswer(time_ms=0, audience="everyone", cell={}, pathway_priority=["5"], ttl_s=10,
    ...                         generation=7, command_id="c1", expires_ms=300_000)
    >>> lapsed(answer, 299_999, "") is None
    True
    >>> lapsed(answer, 300_000, "").undoes
    'c1'
    """
    if answer.expires_ms is None or now_ms < answer.expires_ms or not answer.command_id:
        return None
    return signed(
        Command(
            id=derive_id("lapse", answer.audience, answer.command_id),
            time_ms=answer.expires_ms,
            kind=CommandKind.RESUME,
            target=answer.audience,
            generation=answer.generation + 1,
            owner=ACTOR,
            reason="the lease ran out and was not renewed",
            expires_ms=answer.expires_ms,
            undoes=answer.command_id,
            undoes_kind=_kind_of(answer),
            incident=answer.incident,
            audience=answer.cell,
        ),
        signing_key,
    )


def renewed(
    answer: SteeringAnswer,
    incident: Incident | None,
    policies: Iterable[Policy],
    now_ms: int,
    settings: PolicySettings,
    signing_key: str,
) -> Command | None:
    """Return the command that goes on with the lease behind `answer` where it must not end yet.

    It goes on shortly before its end, while its incident is open and a policy allows as much, until the
    incident is so old that a person must look at it.
    """
    kind = _kind_of(answer)
    allowed = [
        each
        for each in policies
        if each.enabled and not each.dry_run and each.allows is kind and answer.share <= each.limits.max_share
    ]
    if incident is None or answer.expires_ms is None or not answer.command_id or not allowed:
        return None
    policy = min(allowed, key=lambda each: each.policy)
    margin_s = min(settings.renew_before_s, policy.lease_s / 2)
    due_ms = answer.expires_ms - int(margin_s * 1_000)
    too_old = due_ms - incident.opened_ms > settings.renew_for_s * 1_000
    if incident.state is IncidentState.RESOLVED or too_old or not due_ms <= now_ms < answer.expires_ms:
        return None
    return signed(
        Command(
            id=derive_id("renewal", answer.audience, answer.command_id),
            time_ms=due_ms,
            kind=kind,
            target=answer.audience,
            generation=answer.generation + 1,
            incident=answer.incident,
            owner=policy.owner,
            reason=f"{incident.summary}: it goes on, and so does the lease",
            expires_ms=answer.expires_ms + int(policy.lease_s * 1_000),
            limits=policy.limits,
            undo="the default order is served again",
            renews=answer.command_id,
            audience=answer.cell,
            away_from=answer.away_from,
            pathway_priority=answer.pathway_priority,
            share=answer.share,
            max_bitrate_kbps=answer.max_bitrate_kbps,
            p2p=answer.p2p,
        ),
        signing_key,
    )


def _kind_of(answer: SteeringAnswer) -> CommandKind:
    return CommandKind.STEER if answer.pathway_priority else CommandKind.SHED
