"""A simulated fleet: viewers of several providers on several CDNs, second by second, in expectation.

Everything here is *simulated*, and seeded. Viewers are fractions, not persons: `drained` has shape
(audiences, CDNs, seconds) and holds how many viewers of an audience (a provider in a region) are served by a
CDN with so many seconds of their buffer drained. On a path that delivers the share r of what is played, a
second drains 1 - r seconds; on a good path it wins back `REFILL_S`. A viewer stalls once his buffer is
drained; buffers are spread evenly between `BUFFER_S`, as of players set to 10 s and of those left at 30 s.

Players obey steering when they next poll, evenly over one TTL, and buffered media is kept. On a path that
fails they also help themselves, after `SELF_RESCUE_S` on average (hls.js leaves a CDN that answers 503 after
32 s, a refused connection at once), to the next CDN of their order.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

BUFFER_S = (10.0, 30.0)
DEPTH_S = 48
REFILL_S = 3
SELF_RESCUE_S = 30.0
RATE_GBPS = 5e-3
"""5 Mb/s a viewer."""
DEAD = 0.5
"""Players leave a path that delivers less; on a slow one they lower the bitrate, which is not modelled."""
PENALTY_S = 300.0
"""How long such a player keeps off the pathway that failed him (hls.js)."""
LASTS_S = 300
"""How long a fault stays, as in experiments with real ones."""
FLAPPING_S = 160
"""... and one that comes and goes: it has come back once by then."""
SESSION_S = 1_800.0
"""How long people watch: so many of them come and go a second."""


class FaultStory(StrEnum):
    """What goes wrong in a fleet."""

    ISP_OUTAGE = "isp_outage"
    """One provider loses its path to one CDN."""
    HARDWARE = "hardware_failure"
    """Nodes of one CDN die; the rest of it carries what it can."""
    CONGESTION = "congestion"
    """One CDN's capacity shrinks below what is asked of it."""
    CORRUPTION = "content_corruption"
    """One CDN serves what cannot be played."""
    FLAPPING = "flapping"
    """One CDN fails for a while, again and again."""


@dataclass(frozen=True, slots=True)
class Fleet:
    """Who watches, through whom, and what will go wrong."""

    cdns: list[str]
    capacity_gbps: Floats
    """Shape (CDNs,)."""
    default_share: Floats
    """Of every audience, before anyone is moved; shape (CDNs,)."""
    isps: list[str]
    regions: list[str]
    viewers: Floats
    """Shape (ISPs x regions,): all regions of the first ISP, then of the next."""
    story: FaultStory
    cdn: int
    isp: int
    depth: float
    """How much of the path, the capacity or the content is lost, in (0, 1]."""
    begins_s: int
    lasts_s: int
    period_s: int
    """Of a flapping fault: half of it bad, half of it good."""

    @property
    def audiences(self) -> list[tuple[str, str]]:
        """(isp, region) of each row of `viewers`."""
        return [(isp, region) for isp in self.isps for region in self.regions]

    @property
    def ends_s(self) -> int:
        """When all is well again."""
        return self.begins_s + self.lasts_s


def draw(seed: int) -> Fleet:
    """Return the fleet number `seed`."""
    rng = np.random.default_rng(seed)
    cdns = int(rng.integers(3, 6))
    isps, regions = int(rng.integers(5, 9)), int(rng.integers(2, 4))
    total = 10 ** rng.uniform(4.5, 6.0)
    of_isp, of_region = rng.dirichlet(np.full(isps, 3.0)), rng.dirichlet(np.full(regions, 5.0))
    viewers = total * np.outer(of_isp, of_region).ravel()
    share = rng.dirichlet(np.full(cdns, 20.0))
    load = rng.uniform(0.35, 0.55, cdns)
    story = FaultStory(rng.choice([str(each) for each in FaultStory]))
    depth = {
        FaultStory.ISP_OUTAGE: 1.0,
        FaultStory.HARDWARE: rng.uniform(0.7, 1.0),
        FaultStory.CONGESTION: rng.uniform(0.6, 0.8),
        FaultStory.CORRUPTION: rng.uniform(0.5, 1.0),
        FaultStory.FLAPPING: 1.0,
    }[story]
    return Fleet(
        cdns=[f"cdn-{chr(ord('a') + number)}" for number in range(cdns)],
        capacity_gbps=share * total * RATE_GBPS / load,
        default_share=share,
        isps=[f"isp-{number}" for number in range(isps)],
        regions=[f"region-{number}" for number in range(regions)],
        viewers=viewers,
        story=story,
        cdn=int(rng.integers(cdns)),
        isp=int(rng.integers(isps)),
        depth=float(depth),
        begins_s=20,
        lasts_s=FLAPPING_S if story is FaultStory.FLAPPING else LASTS_S,
        period_s=120,
    )


class World:
    """The fleet as it goes on.

    Args:
        fleet: who watches, and what goes wrong.
        rng: draws what is by chance.
    """

    def __init__(self, fleet: Fleet, rng: np.random.Generator) -> None:
        self.fleet = fleet
        self._rng = rng
        self.now_s = 0
        shape = (len(fleet.viewers), len(fleet.cdns), DEPTH_S)
        self.drained: Floats = np.zeros(shape)
        self.drained[:, :, 0] = np.outer(fleet.viewers, fleet.default_share)
        low, high = BUFFER_S
        self._stalls: Floats = np.clip((np.arange(DEPTH_S) - low) / (high - low), 0, 1)
        self._kept_off: Floats = np.zeros(shape[:2])
        """Which share of those the order sends to a pathway keeps off it, shape (audiences, CDNs)."""
        self._target: Floats = np.zeros(shape[:2])
        self._to_poll_s: Floats = np.ones(shape[0])
        """Within how many seconds every player of an audience has asked for what it is told now."""
        self.normal = fleet.viewers[:, None] * fleet.default_share
        """Where viewers are when nobody has moved, shape (audiences, CDNs)."""

    @property
    def on(self) -> Floats:
        """Viewers by audience and CDN."""
        total: Floats = self.drained.sum(axis=2)
        return total

    @property
    def load_gbps(self) -> Floats:
        """What is asked of each CDN."""
        total: Floats = self.on.sum(axis=0) * RATE_GBPS
        return total

    def room(self, max_load: float) -> float:
        """Return what the other CDNs can take up to `max_load`, over what the fault leaves without a path.

        At 1 and above there is room for everybody it reaches; below it nobody could serve them all.
        """
        fleet = self.fleet
        reached_gbps = float(self.normal[self.hit(), fleet.cdn].sum()) * RATE_GBPS
        if fleet.story in {FaultStory.HARDWARE, FaultStory.CONGESTION}:
            reached_gbps -= float(fleet.capacity_gbps[fleet.cdn]) * (1 - fleet.depth)
        room = np.maximum(max_load * fleet.capacity_gbps - self.normal.sum(axis=0) * RATE_GBPS, 0.0)
        room_gbps = float(np.delete(room, fleet.cdn).sum())
        return room_gbps / reached_gbps if reached_gbps > 0 else np.inf

    @property
    def broken(self) -> bool:
        """Whether the fault is on."""
        fleet = self.fleet
        since_s = self.now_s - fleet.begins_s
        if not 0 <= since_s < fleet.lasts_s:
            return False
        return fleet.story is not FaultStory.FLAPPING or since_s % fleet.period_s < fleet.period_s / 2

    @property
    def capacity_gbps(self) -> Floats:
        """What each CDN can carry now."""
        capacity = self.fleet.capacity_gbps.copy()
        if self.broken and self.fleet.story in {FaultStory.HARDWARE, FaultStory.CONGESTION}:
            capacity[self.fleet.cdn] *= 1 - self.fleet.depth
        return capacity

    def hit(self) -> NDArray[np.bool_]:
        """Which audiences the fault reaches on its CDN, shape (audiences,)."""
        rows = np.ones(len(self.fleet.viewers), dtype=bool)
        if self.fleet.story is FaultStory.ISP_OUTAGE:
            regions = len(self.fleet.regions)
            rows[:] = False
            rows[self.fleet.isp * regions : (self.fleet.isp + 1) * regions] = True
        return rows

    def delivered(self) -> Floats:
        """Return the share of what is played that each path delivers, shape (audiences, CDNs)."""
        load, capacity = self.load_gbps, self.capacity_gbps
        full = np.where(load > capacity, capacity / np.maximum(load, 1e-9), 1.0)
        paths: Floats = np.tile(full, (len(self.fleet.viewers), 1))
        cuts = {FaultStory.ISP_OUTAGE, FaultStory.FLAPPING, FaultStory.CORRUPTION}
        if self.broken and self.fleet.story in cuts:
            paths[self.hit(), self.fleet.cdn] *= 1 - self.fleet.depth
        return paths

    def stalled(self) -> Floats:
        """Return the viewers whose buffer is drained, shape (audiences, CDNs)."""
        total: Floats = self.drained @ self._stalls
        return total

    def step(self, target: Floats, ttl_s: float) -> None:
        """Go on by one second.

        Args:
            target: where steering wants the viewers of each audience, shape (audiences, CDNs).
            ttl_s: how long players keep an answer.
        """
        paths = self.delivered()
        bad = paths < 1 - 1e-9
        lost = (1 - paths)[:, :, None]
        deeper = np.zeros_like(self.drained)
        deeper[:, :, 1:] = self.drained[:, :, :-1]
        deeper[:, :, -1] += self.drained[:, :, -1]
        refilled = np.zeros_like(self.drained)
        refilled[:, :, : DEPTH_S - REFILL_S] = self.drained[:, :, REFILL_S:]
        refilled[:, :, 0] += self.drained[:, :, :REFILL_S].sum(axis=2)
        drained = np.where(bad[:, :, None], lost * deeper + (1 - lost) * self.drained, refilled)
        # Who leaves is followed by someone who comes, with a buffer that he fills first.
        gone = drained / SESSION_S
        drained -= gone
        drained[:, :, 0] += gone.sum(axis=2)
        self.drained = self._moved(drained, target, ttl_s, paths)
        self.now_s += 1

    def _moved(self, drained: Floats, target: Floats, ttl_s: float, paths: Floats) -> Floats:
        on = drained.sum(axis=2)
        # Evenly over one TTL: of those who have not asked yet, one in as many as there are seconds left.
        told_anew = (np.abs(target - self._target) > 1e-9 * self.fleet.viewers[:, None]).any(axis=1)
        self._to_poll_s = np.where(told_anew, ttl_s, np.maximum(self._to_poll_s - 1, 1.0))
        self._target = target
        leaving = 1 / self._to_poll_s
        good = np.where(paths < DEAD, 0.0, self.fleet.default_share)
        to = np.divide(good, good.sum(axis=1, keepdims=True), out=np.zeros_like(good), where=good > 0)
        # Who has helped himself keeps off the pathway that failed him, whatever the order says. Who is moved
        # is drawn without regard to that: among them are as many who had left already.
        elsewhere = good.sum(axis=1, keepdims=True) - good
        kept_off = np.where(elsewhere > 0, self._kept_off * target, 0.0)
        spread = np.divide(kept_off, elsewhere, out=np.zeros_like(good), where=elsewhere > 0)
        target = target - kept_off + good * (spread.sum(axis=1, keepdims=True) - spread)
        excess = np.maximum(on - target, 0.0)
        leaving = leaving[:, None]
        room = np.maximum(target - on, 0.0)
        leaving = leaving * np.divide(excess, on, out=np.zeros_like(on), where=on > 0)
        flow = drained * leaving[:, :, None]
        share = np.divide(room, room.sum(axis=1, keepdims=True), out=np.zeros_like(room), where=room > 0)
        stays = share.sum(axis=1) <= 0
        flow[stays] = 0.0
        drained = drained - flow + share[:, :, None] * flow.sum(axis=1, keepdims=True)
        on_path = drained.sum(axis=2)
        rescued = drained * ((paths < DEAD) / SELF_RESCUE_S)[:, :, None]
        rescued[to.sum(axis=1) <= 0] = 0.0
        left = np.divide(rescued.sum(axis=2), on_path, out=np.zeros_like(on), where=on_path > 0)
        self._kept_off += left * (1 - self._kept_off) - self._kept_off / PENALTY_S
        found: Floats = drained - rescued + to[:, :, None] * rescued.sum(axis=1, keepdims=True)
        return found
