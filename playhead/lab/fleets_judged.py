"""What is demanded of simulated fleets, and how many meet it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec
import numpy as np

from config.fleets import FleetSettings
from playhead.lab.fleets import FleetResult
from playhead.lab.world import FaultStory


class Property(msgspec.Struct, frozen=True):
    """One demand on all fleets together."""

    name: str
    demanded: str
    found: str
    holds: bool
    worst_seed: int | None = None
    """The fleet to look at first."""


class StoryFigures(msgspec.Struct, frozen=True):
    """The fleets that met one kind of fault."""

    story: FaultStory
    fleets: int
    availability_least: float
    availability_mean: float
    failover_least: float
    recovery_p50_s: float
    recovery_p99_s: float
    """Infinite where more than one in a hundred have not recovered before the fault was over."""


class Judgement(msgspec.Struct, frozen=True):
    """All fleets of one run."""

    fleets: int
    without_room: int
    """... of them with a fault that the other CDNs have no room for."""
    first_seed: int
    properties: list[Property]
    stories: list[StoryFigures]

    @property
    def holds(self) -> bool:
        """Whether every demand is met."""
        return all(each.holds for each in self.properties)


def judge(results: Sequence[FleetResult], settings: FleetSettings) -> Judgement:
    """Return which demands the fleets meet.

    Failover and recovery count every fleet whose viewers were harmed, whatever the fault; availability those
    with an outage of a provider, each of them by itself: the worst one must be within the bound. Where the
    other CDNs have no room for all whom a fault reaches, nobody could move them all: these fleets must not be
    overloaded either, and come back, and are counted.
    """
    roomy = [each for each in results if each.room >= 1]
    outages = [each for each in roomy if each.story is FaultStory.ISP_OUTAGE]
    found = [
        _worst(
            "no oscillation",
            "no audience is moved again after it has begun to return, but where the fault itself comes back",
            [each for each in results if each.story is not FaultStory.FLAPPING],
            lambda each: each.turns,
            lambda worst: worst <= settings.most_turns,
            lambda worst: f"{worst:g} turns at most",
        ),
        _worst(
            "flapping is damped",
            f"at most {settings.most_flapping_turns} turns of an audience while a CDN fails again and again",
            [each for each in results if each.story is FaultStory.FLAPPING],
            lambda each: each.turns,
            lambda worst: worst <= settings.most_flapping_turns,
            lambda worst: f"{worst:g} turns at most",
        ),
        _worst(
            "no CDN is driven over its capacity by our moves",
            "no second of overload",
            results,
            lambda each: each.overload_s,
            lambda worst: worst <= 0,
            lambda worst: f"{worst:g} s at most",
        ),
        _worst(
            "availability in an ISP outage",
            f"at least {settings.isp_outage_availability:.2%} in each fleet",
            outages,
            lambda each: -each.availability,
            lambda worst: -worst >= settings.isp_outage_availability,
            lambda worst: f"{-worst:.3%} at least",
        ),
        _worst(
            "failover success",
            f"at least {settings.failover_success:.0%} of those reached, in each fleet with room for them",
            roomy,
            lambda each: -each.failover_success,
            lambda worst: -worst >= settings.failover_success,
            lambda worst: f"{-worst:.2%} at least",
        ),
        _recovery(roomy, settings),
        _worst(
            "everybody is back at the end",
            "in each fleet",
            results,
            lambda each: float(not each.returned),
            lambda worst: worst <= 0,
            lambda worst: "all are" if worst <= 0 else "not all are",
        ),
    ]
    return Judgement(
        fleets=len(results),
        without_room=len(results) - len(roomy),
        first_seed=min((each.seed for each in results), default=0),
        properties=[each for each in found if each is not None],
        stories=[_figures(story, results) for story in FaultStory if any(r.story is story for r in results)],
    )


def _worst(
    name: str,
    demanded: str,
    results: Sequence[FleetResult],
    badness: Callable[[FleetResult], float],
    holds: Callable[[float], bool],
    said: Callable[[float], str],
) -> Property | None:
    """Return whether a demand on each fleet holds for the worst; None where no fleet is concerned."""
    if not results:
        return None
    worst = max(results, key=badness)
    return Property(name, demanded, said(badness(worst)), holds(badness(worst)), worst.seed)


def _recovery(results: Sequence[FleetResult], settings: FleetSettings) -> Property | None:
    if not results:
        return None
    p99_s = _quantile(results, 0.99)
    worst = max(results, key=_recovery_s)
    return Property(
        "recovery",
        f"p99 below {settings.recovery_p99_s:g} s",
        f"p99 {p99_s:g} s, p50 {_quantile(results, 0.5):g} s",
        p99_s < settings.recovery_p99_s,
        worst.seed,
    )


def _recovery_s(result: FleetResult) -> float:
    return np.inf if result.recovery_s is None else result.recovery_s


def _quantile(results: Sequence[FleetResult], at: float) -> float:
    """Return a quantile of the recovery times, the higher of two neighbours."""
    return float(np.quantile([_recovery_s(each) for each in results], at, method="higher"))


def _figures(story: FaultStory, results: Sequence[FleetResult]) -> StoryFigures:
    own = [each for each in results if each.story is story]
    availability = [each.availability for each in own]
    return StoryFigures(
        story=story,
        fleets=len(own),
        availability_least=min(availability),
        availability_mean=float(np.mean(availability)),
        failover_least=min(each.failover_success for each in own),
        recovery_p50_s=_quantile(own, 0.5),
        recovery_p99_s=_quantile(own, 0.99),
    )
