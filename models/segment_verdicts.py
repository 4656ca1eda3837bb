"""Reads the ledger of a live stream: which pipeline is at fault, with its twins as the control.

Pure functions of the reports known, in whatever order they came. A segment that is bad on one pipeline and
good on a twin is that pipeline's fault. Bad on all of them, it is content or upstream trouble, and no
reason to move (DASH-IF Live Media Ingest 1.2 calls segments of one number interchangeable).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum, auto

GOOD = ""
"""What a pipeline's report says of a published segment without defect; otherwise it names the defect."""

MISSING = "missing"

Reports = Mapping[int, str]
"""Of one pipeline: sequence → `GOOD`, `MISSING` or the name of a defect."""


class Verdict(Enum):
    """What one segment says about its pipeline."""

    GOOD = auto()
    FAULT = auto()
    """Bad, and a twin has it; or bad, and there is no twin to compare with."""
    SHARED = auto()
    """Bad on every pipeline."""
    PENDING = auto()
    """Bad, and no twin has spoken yet."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How one pipeline stands at the newest segments."""

    newest: int | None
    """The newest segment with a verdict that does not wait for a twin."""
    newest_is_good: bool
    newest_bad: int | None
    """The newest segment that is bad, whoever is at fault."""
    fault_run: int
    """Faults in a row up to the newest; segments bad on all pipelines are passed over."""
    faults: list[int]
    """All sequences at fault, in order."""


def better(one: str | None, other: str) -> str:
    """Return the better of two reports on a segment: it may be repaired, never unpublished.

    >>> better("missing", ""), better("black", "missing"), better(None, "freeze")
    ('', 'black', 'freeze')
    """
    return other if one is None else min((one, other), key=lambda report: (report == MISSING, report))


def known(ledger: Mapping[str, Reports], joined: Mapping[str, int], oldest: int) -> dict[str, dict[int, str]]:
    """Return the reports with what silence says: missing is what a twin told of, and of the next one too.

    Args:
        ledger: the reports of each pipeline.
        joined: the first segment of each pipeline; none before it was due.
        oldest: the first sequence of interest.
    """
    whole = {}
    for name, reports in ledger.items():
        spoken = {
            sequence
            for twin, others in ledger.items()
            if twin != name
            for sequence in others
            if sequence + 1 in others and sequence >= max(joined[name], oldest)
        }
        whole[name] = {**dict.fromkeys(spoken, MISSING), **reports}
    return whole


def verdicts(name: str, whole: Mapping[str, Reports]) -> dict[int, Verdict]:
    """Return what each segment says about pipeline `name`."""
    twins = [reports for twin, reports in whole.items() if twin != name]

    def verdict(sequence: int, report: str) -> Verdict:
        if report == GOOD:
            return Verdict.GOOD
        others = [reports[sequence] for reports in twins if sequence in reports]
        if GOOD in others or not twins:
            return Verdict.FAULT
        return Verdict.SHARED if others else Verdict.PENDING

    return {sequence: verdict(sequence, report) for sequence, report in whole[name].items()}


def standing(of: Mapping[int, Verdict], since: int) -> Standing:
    """Return how a pipeline stands, counting segments from `since` on."""
    faults: list[int] = []
    newest = newest_bad = None
    run, unbroken = 0, True
    for sequence in sorted(of, reverse=True):
        verdict = of[sequence]
        if sequence < since:
            break
        if verdict is Verdict.PENDING:
            continue
        newest = sequence if newest is None else newest
        if verdict is Verdict.GOOD:
            unbroken = False
            continue
        newest_bad = sequence if newest_bad is None else newest_bad
        if verdict is Verdict.FAULT:
            faults.append(sequence)
            run += unbroken
    return Standing(newest, newest is not None and newest != newest_bad, newest_bad, run, faults[::-1])


def shared_run(whole: Mapping[str, Reports], joined: Mapping[str, int]) -> int:
    """Return how many of the newest segments are bad on every pipeline.

    A segment that a pipeline has yet to speak of is passed over. With a single pipeline there is no telling.
    """
    run = 0
    for sequence, reports in _newest_first(whole):
        if GOOD in reports:
            break
        run += 1 < len(reports) == sum(1 for first in joined.values() if first <= sequence)
    return run


def served_run(whole: Mapping[str, Reports], since: int) -> int:
    """Return how many of the newest segments after `since` at least one pipeline has."""
    run = 0
    for sequence, reports in _newest_first(whole):
        if sequence <= since or GOOD not in reports:
            break
        run += 1
    return run


def _newest_first(whole: Mapping[str, Reports]) -> Iterator[tuple[int, list[str]]]:
    """Yield each segment with what the pipelines that have spoken of it say."""
    for sequence in sorted({sequence for reports in whole.values() for sequence in reports}, reverse=True):
        yield sequence, [of[sequence] for of in whole.values() if sequence in of]
