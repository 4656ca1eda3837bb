"""How long a player waits before it asks again.

Long while all is well, for polls cost; short once the CDN in use is suspect, for a change reaches nobody
before his next poll. Below the buffer of live players always: one who learns of a dead CDN later stalls.
"""

from __future__ import annotations

import math

from config.steering import SteeringSettings
from models.steering_order import bucket


def ttl_s(
    settings: SteeringSettings,
    viewer: str,
    *,
    suspect: bool,
    asked_s: float | None = None,
    live: bool = False,
    load: float = 0.0,
) -> int:
    """Return the TTL for `viewer`, in whole seconds, at least 1.

    Args:
        suspect: the viewer has been moved, or the CDN in use is being left by others.
        asked_s: what the command in force asks for; held to the bounds of suspicion.
        load: polls a second over those that are to be answered; beyond 1 TTLs grow in proportion.

    Example:
        >>> from config import load
        >>> settings = load({}).settings.steering
        >>> 48 <= ttl_s(settings, "v1", suspect=False) <= 72, 4 <= ttl_s(settings, "v1", suspect=True) <= 6
        (True, True)
        >>> ttl_s(settings, "v1", suspect=False, live=True) < settings.live_buffer_s
        True
    """
    if suspect:
        wanted = settings.suspect_ttl_s if asked_s is None else asked_s
        base = min(max(wanted, settings.suspect_ttl_s), settings.suspect_ttl_most_s)
    else:
        base = settings.calm_ttl_s
    base = min(base * max(load, 1.0), settings.calm_ttl_most_s)
    most_s = max(math.ceil(settings.live_buffer_s) - 1, 1) if live else math.inf
    # Spread below the bound: at it everybody would ask at once.
    base = min(base, most_s / (1 + settings.ttl_jitter))
    spread = 1 + settings.ttl_jitter * (2 * bucket(viewer, "ttl") - 1)
    return int(min(max(round(base * spread), 1), most_s))
