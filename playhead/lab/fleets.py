"""Runs many simulated fleets and measures what the brain made of them.

Measured for each fleet, all of it in simulation:

- availability: share of the viewers' time that was not stalled, of all viewers, while the fault is on;
- harm begins with the first viewer whom the fault stalls: until then buffers hide it;
- failover success: share of those the fault reached who play on, 45 s after harm has begun;
- recovery: from there until no more than 2 % of those are on a path that fails, or stalled;
- overload: seconds in which a CDN that took viewers from us was asked for more than it can carry;
- room: whether the other CDNs could take all whom the fault reaches, within the bound of the policy;
- turns: how often an audience that had been brought back was moved again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import msgspec
import numpy as np

from config import Settings, load
from playhead.lab.control import ControlRoom
from playhead.lab.world import FaultStory, Fleet, World, draw
from topics.anomalies import Severity
from topics.commands import Command, CommandKind, Limits
from topics.policies import Policy

SETTINGS_FILE = Path(__file__).with_name("fleets.toml")
AFTER_S = 900
"""Long enough for the slowest way back."""
SETTLED_S = 60
"""So long after everybody is back a fleet is done."""
FAILED_OVER_BY_S = 45
RECOVERED_SHARE = 0.02
HARM_SHARE = 0.001
FAILING = 0.9
"""A path that delivers less of what is played than this: the longest buffer is gone within five minutes."""
TOLERANCE = 1e-6


class FleetResult(msgspec.Struct, frozen=True):
    """What became of one fleet."""

    seed: int
    story: FaultStory
    viewers: float
    affected: float
    room: float
    """What the other CDNs could take within the policy's bound, over what the fault left without a path."""
    availability: float
    failover_success: float
    recovery_s: float | None
    """None: not before the fault was over."""
    overload_s: int
    turns: int
    commands: int
    returned: bool
    """Whether everybody was back at the end."""
    stalled_by_s: list[float] = []
    """Share of all viewers who stall, second by second; kept for the fleets that are drawn."""


def settings() -> Settings:
    """Return the settings of the simulation."""
    return load({"PLAYHEAD_CONFIG": str(SETTINGS_FILE)}).settings


def allowed() -> list[Policy]:
    """Return the leave that the fleets' operators give."""
    return [
        Policy(
            time_ms=0,
            policy="lab",
            allows=CommandKind.STEER,
            dry_run=False,
            min_severity=Severity.HIGH,
            min_impact_viewers=20.0,
            first_share=0.25,
            limits=Limits(max_share=1.0),
        )
    ]


def run_fleet(seed: int, *, steered: bool = True, keep: bool = False) -> FleetResult:
    """Return what becomes of fleet number `seed`.

    Args:
        steered: False leaves the players to themselves, for comparison.
        keep: keep the course of the stalls.
    """
    figures = settings()
    rng = np.random.default_rng(seed + 1_000_000)
    fleet = draw(seed)
    world = World(fleet, rng)
    room = ControlRoom(figures, allowed() if steered else [], world, rng)
    viewers = float(fleet.viewers.sum())
    room_for_all = world.room(figures.policy.target_max_load)
    affected = float(world.normal[world.hit(), fleet.cdn].sum())
    stalled_s = 0.0
    overload_s = 0
    stalled_by_s: list[float] = []
    left_behind_by_s: list[float] = []
    harmed_s: int | None = None
    back_for_s = 0
    while world.now_s < fleet.ends_s + AFTER_S and back_for_s < SETTLED_S:
        target = room.target()
        world.step(target, figures.policy.steering_ttl_s)
        room.look()
        back_for_s = back_for_s + 1 if world.now_s > fleet.ends_s and _is_back(room, world) else 0
        stalled = world.stalled()
        stalled_by_s.append(float(stalled.sum()) / viewers)
        if fleet.begins_s < world.now_s <= fleet.ends_s:
            stalled_s += float(stalled.sum())
            if harmed_s is None and stalled.sum() > HARM_SHARE * affected:
                harmed_s = len(left_behind_by_s)
            left_behind_by_s.append(_left_behind(world) / affected)
            took = (target - world.normal).sum(axis=0) > TOLERANCE * viewers
            full = world.load_gbps > world.capacity_gbps * (1 + TOLERANCE)
            full[fleet.cdn] = False
            overload_s += int((took & full).any())
    if fleet.story is FaultStory.FLAPPING:
        del left_behind_by_s[fleet.period_s // 2 :]  # the next time is no part of this recovery
    since_harm = left_behind_by_s[harmed_s:] if harmed_s is not None else [0.0]
    return FleetResult(
        seed=seed,
        story=fleet.story,
        viewers=viewers,
        affected=affected,
        room=room_for_all,
        availability=1 - stalled_s / (viewers * fleet.lasts_s),
        failover_success=1 - min(since_harm[: FAILED_OVER_BY_S + 1][-1], 1.0),
        recovery_s=_recovery_s(since_harm),
        overload_s=overload_s,
        turns=_turns(room.commands, fleet),
        commands=len(room.commands),
        returned=_is_back(room, world),
        stalled_by_s=stalled_by_s if keep else [],
    )


def run_fleets(
    seeds: Sequence[int],
    workers: int,
    *,
    steered: bool = True,
    kept: int = 0,
    progress: Callable[[int], None] = lambda done: None,
) -> list[FleetResult]:
    """Run fleets in `workers` processes; in the order of the seeds, whatever the number of workers.

    Args:
        kept: of so many of the first, the course of the stalls is kept.
    """
    results = []
    with ProcessPoolExecutor(workers) as pool:
        jobs = [(seed, steered, number < kept) for number, seed in enumerate(seeds)]
        for result in pool.map(_run, jobs, chunksize=4):
            results.append(result)
            progress(len(results))
    return results


def _run(job: tuple[int, bool, bool]) -> FleetResult:
    seed, steered, keep = job
    return run_fleet(seed, steered=steered, keep=keep)


def _is_back(room: ControlRoom, world: World) -> bool:
    """Whether nobody is sent elsewhere any more."""
    return bool((np.abs(room.target() - world.normal) < 1e-9 * world.fleet.viewers.sum()).all())


def _left_behind(world: World) -> float:
    """Return the viewers the fault still has: on a path that fails them, or stalled."""
    failing = (world.on * (world.delivered() < FAILING)).sum()
    return float(max(failing, world.stalled().sum()))


def _recovery_s(left_behind_by_s: list[float]) -> float | None:
    bad = [second for second, left in enumerate(left_behind_by_s) if left > RECOVERED_SHARE]
    if not bad:
        return 0.0
    return float(bad[-1] + 1) if bad[-1] + 1 < len(left_behind_by_s) else None


def _turns(commands: list[Command], fleet: Fleet) -> int:
    """Return how often an audience was moved again after it had begun to return."""
    turns, back = 0, set()
    for command in commands:
        if command.kind is CommandKind.RESUME or command.ramp:
            back.add(command.target)
        elif command.target in back:
            back.discard(command.target)
            turns += 1
    return turns
