"""What becomes of a lease while it is in force: undone, widened, renewed, or left to its end.

The rules look at the answer being served and at what is known around it, so that any worker can apply them at
any time: what follows has its id from the lease, and said twice is said once. In this order:

1. A person has taken it back: it is undone.
2. Someone has frozen the policy, or the pipeline is blind: nothing changes, but a lease in force goes on.
3. The moved see worse than the control, or no better in the time it should take: it is undone.
4. Viewers are on their way back: that goes on by itself.
5. The incident is resolved: viewers return in steps, once there is room for them; while nodes are down
   still, more are moved as far as it helps.
6. The moved see better, or nodes are down that carried more than was moved: more are moved, as far as
   limits and room go.
7. The lease ends soon: it is renewed, until the incident is so old that a person must look at it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import msgspec

from config.sections import PolicySettings
from models import words
from models.cdn_loads import Backups, arrived_ms, backups
from models.leases import command_behind, kind_of
from models.node_health import ailing
from models.obedience import Key, signed
from models.returning import lost_to, no_room_back, nodes_down, on_the_way_back
from models.served import in_force, others
from models.surroundings import Surroundings, described
from topics.commands import Command, CommandKind
from topics.controls import ControlVerb
from topics.fields import derive_id
from topics.incidents import Incident, IncidentState
from topics.policies import Policy
from topics.steering import SteeringAnswer
from topics.verifications import Verdict


class Steward:
    """Looks after the leases in force.

    Args:
        settings: bounds and times.
        signing_key: what commands are signed with; empty leaves them unsigned.
    """

    def __init__(self, settings: PolicySettings, signing_key: Key) -> None:
        self._settings = settings
        self._key = signing_key

    def look(self, around: Surroundings, now_ms: int) -> list[Command]:
        """Return the commands that are due by `now_ms`."""
        due = []
        leases = [each for each in in_force(around.answers.values(), now_ms) if each.command_id]
        served = {answer.audience: answer for answer in leases}
        around = replace(around, answers=served)
        for answer in leases:
            command = self.next(answer, around, now_ms)
            if command is not None:
                due.append(command)
                # What one audience is promised now is not there for the next.
                served[answer.audience] = _as_served(command, answer)
        return due

    def next(  # noqa: PLR0911 the rules stand side by side, in their order
        self, answer: SteeringAnswer, around: Surroundings, now_ms: int
    ) -> Command | None:
        """Return what becomes of the lease behind `answer` by `now_ms`, or None where it stays."""
        if not answer.command_id or answer.expires_ms is None or now_ms >= answer.expires_ms:
            return None
        incident = around.incident_of(answer.incident)
        taken_back = around.said(ControlVerb.UNDO, now_ms, answer.incident)
        if taken_back is not None:
            why = f"taken back by {taken_back.by}: {taken_back.reason or 'no reason given'}"
            return self._undo(answer, why, taken_back.time_ms, taken_back.by)
        if around.hands_off(now_ms, self._settings):
            return None if answer.ramp else self._renew(answer, incident, around, now_ms)
        failed = around.failed(answer.audience, answer.incident)
        if failed is not None:
            return self._undo(answer, described(failed), failed.time_ms)
        if answer.ramp or incident is None:
            return None
        if incident.state is IncidentState.RESOLVED:
            back = self._bring_back(answer, incident, around, now_ms)
            # With nodes down those who were not moved ail on, be they too few to make an incident.
            down = nodes_down(command_behind(answer), around, now_ms, self._settings)
            wider = self._widen(answer, incident, around, now_ms) if down else None
            return back or wider or self._renew(answer, incident, around, now_ms)
        return self._widen(answer, incident, around, now_ms) or self._renew(answer, incident, around, now_ms)

    # -- the three things that may become of it ------------------------------------------------------------

    def _undo(self, answer: SteeringAnswer, why: str, at_ms: int, by: str = "policy") -> Command:
        resume = Command(
            id=derive_id("undo", answer.audience, answer.command_id),
            time_ms=max(at_ms, answer.time_ms),
            kind=CommandKind.RESUME,
            target=answer.audience,
            generation=answer.generation + 1,
            incident=answer.incident,
            owner=words.name(by),
            reason=words.sentence(why),
            expires_ms=max(at_ms, answer.time_ms) + 1_000 * int(self._settings.default_lease_s),
            undo="a new command, from the canary on",
            undoes=answer.command_id,
            undoes_kind=kind_of(answer),
            audience=answer.cell,
        )
        return signed(resume, self._key)

    def _bring_back(
        self, answer: SteeringAnswer, incident: Incident, around: Surroundings, now_ms: int
    ) -> Command | None:
        """Return the way back once there is room for those who return."""
        due_ms = (incident.resolved_ms or incident.time_ms) + int(1_000 * self._settings.return_dwell_s)
        lease = command_behind(answer)
        full = no_room_back(lease, around, now_ms, self._settings)
        if kind_of(answer) is not CommandKind.STEER or full or now_ms < due_ms:
            return None
        command = on_the_way_back(lease, incident, now_ms, answer.flaps, self._settings)
        command = msgspec.structs.replace(
            command,
            id=derive_id("return", answer.audience, answer.command_id),
            generation=answer.generation + 1,
        )
        return signed(command, self._key)

    def _widen(
        self, answer: SteeringAnswer, incident: Incident | None, around: Surroundings, now_ms: int
    ) -> Command | None:
        found = around.verification_of(answer.audience)
        policy = self._leave(answer, around.policies)
        if incident is None or policy is None or kind_of(answer) is not CommandKind.STEER:
            return None
        helps = (
            found is not None
            and found.incident == answer.incident
            and found.verdict is Verdict.HELPED
            and found.window_end_ms > answer.time_ms
        )
        due_ms = answer.time_ms + int(1_000 * self._settings.verified_dwell_s)
        most = min(policy.limits.max_share, 1 - self._settings.control_share)
        if found is not None and helps:
            why, due_ms = described(found), max(due_ms, found.window_end_ms)
        else:
            # What nodes have lost is known without the viewers: so many must go, once there is room for them.
            lost, why = lost_to(answer.away_from, around, now_ms, self._settings)
            most = min(most, lost)
        if not why or not answer.away_from:
            return None
        wanted = min(
            answer.share * self._settings.widen_factor,
            answer.share + self._settings.max_step_share,
            most,
        )
        if now_ms < due_ms or wanted < answer.share + self._settings.least_share:
            return None
        room = self._room_for(answer, wanted, policy, around, now_ms)
        if room is None or room.share < answer.share + self._settings.least_share:
            return None
        # It begins with the reports that show the room, however long that took: from then on it counts who
        # is still on the way.
        loads = around.loads(now_ms, self._settings)
        at_ms = min(max(due_ms, *(loads[cdn].oldest_ms for cdn in room.split if cdn in loads)), now_ms)
        command = self._again(answer, "wider", at_ms, why, at_ms + int(1_000 * policy.lease_s))
        order = [*room.order, answer.away_from]
        command = msgspec.structs.replace(
            command,
            share=room.share,
            split=room.split if len(room.split) > 1 else {},
            pathway_priority=order,
            alternatives=room.said,
            limits=policy.limits,
        )
        return signed(command, self._key)

    def _room_for(
        self, answer: SteeringAnswer, wanted: float, policy: Policy, around: Surroundings, now_ms: int
    ) -> Backups | None:
        """Return where as much as `wanted` can go, once the loads say where those are who were moved last."""
        loads = around.loads(now_ms, self._settings)
        away = loads.get(answer.away_from)
        if away is None:
            return None
        max_load = min(policy.limits.max_load, self._settings.target_max_load)
        backup_loads = [load for cdn, load in loads.items() if cdn in answer.pathway_priority[:-1]]
        if not all(load.oldest_ms >= arrived_ms(answer) for load in backup_loads):
            return None
        # What is left on the sick CDN is all that can still come: it was measured after the others had left.
        left = wanted - answer.share
        of_left = left / (1 - answer.share) if answer.share < 1 else 0.0
        ill = ailing(around.incidents, answer.cell, answer.incident)
        so_far = answer.split or {answer.pathway_priority[0]: 1.0}
        more = backups(
            loads,
            answer.away_from,
            of_left,
            max_load,
            others(around.answers, answer.audience, now_ms),
            self._settings,
            ill,
            already=so_far,
            most_gbps=answer.demand_gbps,
        )
        gained = more.share / of_left * left if of_left else 0.0
        share = answer.share + gained
        split = {
            cdn: (answer.share * so_far.get(cdn, 0.0) + gained * more.split.get(cdn, 0.0)) / share
            for cdn in sorted({*so_far, *more.split})
        }
        order = sorted(split, key=lambda cdn: (-split[cdn], cdn))
        rest = [cdn for cdn in more.order if cdn not in split]
        return Backups(split, share, [*order, *rest], more.said)

    def _renew(
        self, answer: SteeringAnswer, incident: Incident | None, around: Surroundings, now_ms: int
    ) -> Command | None:
        policy = self._leave(answer, around.policies)
        if incident is None or policy is None or answer.expires_ms is None:
            return None
        margin_s = min(self._settings.renew_before_s, policy.lease_s / 2)
        due_ms = answer.expires_ms - int(margin_s * 1_000)
        too_old = due_ms - incident.opened_ms > self._settings.renew_for_s * 1_000
        if too_old or now_ms < due_ms:
            return None
        hands_off = around.hands_off(now_ms, self._settings)
        going_on = "it goes on, and so does the lease"
        reason = f"{incident.summary}: {hands_off or going_on}"
        command = self._again(
            answer, "renewal", due_ms, reason, answer.expires_ms + int(policy.lease_s * 1_000)
        )
        return signed(msgspec.structs.replace(command, limits=policy.limits), self._key)

    def _again(self, answer: SteeringAnswer, what: str, at_ms: int, reason: str, expires_ms: int) -> Command:
        """Return the command that `answer` obeys, given anew."""
        return Command(
            id=derive_id(what, answer.audience, answer.command_id),
            time_ms=at_ms,
            kind=kind_of(answer),
            target=answer.audience,
            generation=answer.generation + 1,
            incident=answer.incident,
            owner="policy",
            reason=words.sentence(reason),
            expires_ms=expires_ms,
            undo="the default order is served again",
            renews=answer.command_id,
            audience=answer.cell,
            away_from=answer.away_from,
            pathway_priority=answer.pathway_priority,
            share=answer.share,
            split=answer.split,
            demand_gbps=answer.demand_gbps,
            max_bitrate_kbps=answer.max_bitrate_kbps,
            p2p=answer.p2p,
        )

    def _leave(self, answer: SteeringAnswer, policies: Sequence[Policy]) -> Policy | None:
        """Return the policy that allows what `answer` does, in earnest."""
        kind = kind_of(answer)
        allowed = [
            each
            for each in policies
            if each.enabled
            and not each.dry_run
            and each.allows is kind
            and answer.share <= each.limits.max_share + 1e-9
        ]
        return min(allowed, key=lambda each: each.policy, default=None)


def _as_served(command: Command, answer: SteeringAnswer) -> SteeringAnswer:
    """Return what `answer` will be once `command` is obeyed."""
    if command.kind is CommandKind.RESUME:
        return msgspec.structs.replace(answer, pathway_priority=[], away_from="", command_id="")
    return msgspec.structs.replace(
        answer,
        share=command.share,
        split=command.split,
        pathway_priority=command.pathway_priority,
        time_ms=command.time_ms,
    )
