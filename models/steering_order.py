"""The order of pathways that one viewer is given, from the answer of his audience.

Who is moved, and where to, follows from stable hashes of the viewer: a wider share keeps those who were moved
before, and moves nobody from one backup to another.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from xxhash import xxh3_64_intdigest

from topics.steering import SteeringAnswer

_SPAN = float(2**64)


def bucket(viewer: str, salt: str) -> float:
    """Return where `viewer` stands in [0, 1), uniformly over viewers, independently for each salt.

    >>> bucket("v1", "a") == bucket("v1", "a"), 0 <= bucket("v1", "b") < 1
    (True, True)
    """
    return xxh3_64_intdigest(f"{salt}\x1f{viewer}".encode()) / _SPAN


def group_of(viewer: str, groups: int) -> int:
    """Return with which of so many groups `viewer` is moved: it stands for him wherever shares are drawn.

    >>> group_of("v1", 1_000) == group_of("v1", 1_000), 0 <= group_of("v2", 1_000) < 1_000
    (True, True)
    """
    return int(bucket(viewer, "group") * groups)


def share_at(answer: SteeringAnswer, now_ms: int) -> float:
    """Return which share of the audience the answer moves now: none after its lease, less on the way back.

    >>> from topics.commands import RampStep
    >>> answer = SteeringAnswer(time_ms=0, audience="everyone", cell={}, pathway_priority=["b"], ttl_s=10,
    ...     generation=1, share=0.4, ramp=[RampStep(at_ms=100, share=0.2)], expires_ms=200)
    >>> [share_at(answer, now_ms) for now_ms in (99, 100, 200)]
    [0.4, 0.2, 0.0]
    """
    if answer.expires_ms is not None and now_ms >= answer.expires_ms:
        return 0.0
    return next((step.share for step in reversed(answer.ramp) if step.at_ms <= now_ms), answer.share)


def is_moved(answer: SteeringAnswer, viewer: str, now_ms: int) -> bool:
    """Whether `viewer` is of the share that the answer moves.

    The salt is the audience, so that it is not always the same viewers who try things first.
    """
    return bucket(viewer, answer.audience) < share_at(answer, now_ms)


def order_for(answer: SteeringAnswer | None, viewer: str, now_ms: int, default: Sequence[str]) -> list[str]:
    """Return the pathways for `viewer`, best first, none twice; never empty where `default` is not.

    >>> answer = SteeringAnswer(
    ...     time_ms=0, audience="isp=7", cell={"isp": "7"}, pathway_priority=["b", "c", "a"], away_from="a",
    ...     ttl_s=10, generation=1, split={"b": 0.5, "c": 0.5})
    >>> sorted({tuple(order_for(answer, f"v{n}", 0, ["a", "b", "c"])) for n in range(50)})
    [('b', 'c', 'a'), ('c', 'b', 'a')]
    >>> order_for(None, "v1", 0, ["a", "b"])
    ['a', 'b']
    """
    if answer is None or not answer.pathway_priority or not is_moved(answer, viewer, now_ms):
        return list(default)
    order = list(dict.fromkeys(answer.pathway_priority))
    return shared_out(order, answer.split, bucket(viewer, f"split {answer.audience}"))


def shared_out(order: Sequence[str], split: Mapping[str, float], at: float) -> list[str]:
    """Return `order` with the pathway first that has `at`, in [0, 1), where shares are laid end to end.

    >>> shared_out(["a", "b", "c"], {"b": 0.5}, 0.4), shared_out(["a", "b", "c"], {"b": 0.5}, 0.6)
    (['b', 'a', 'c'], ['a', 'b', 'c'])
    """
    for pathway, share in split.items():
        if at < share:
            return [pathway, *(each for each in order if each != pathway)]
        at -= share
    return list(order)


def last_of(order: Iterable[str], last: Collection[str]) -> list[str]:
    """Return `order`, none twice, with those in `last` behind all others.

    >>> last_of(["a", "b", "c", "b"], {"a"})
    ['b', 'c', 'a']
    """
    once = list(dict.fromkeys(order))
    return [*(each for each in once if each not in last), *(each for each in once if each in last)]
