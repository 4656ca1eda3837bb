"""What a process has used so far. Needs the standard library only: programs in other environments use it."""

from __future__ import annotations

import resource
from pathlib import Path

_STATUS = Path("/proc/self/status")
_PEAK = "VmHWM:"


def cpu_seconds() -> float:
    """Return the CPU time of this process, in and out of the kernel."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def peak_rss_mb() -> float:
    """Return the most memory that this process has had resident, in units of 1,048,576 bytes.

    Linux keeps `ru_maxrss` over `exec`: a small program that a large one has started would tell the size of
    the large one.
    """
    if _STATUS.exists():
        for line in _STATUS.read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith(_PEAK):
                return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
