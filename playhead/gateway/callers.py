"""What is known of a caller from its request alone: network, place and device, by the lookups of CMCD.

Beats are placed in cohorts by the same lookups, so that a command to a cohort finds those it was made for.
"""

from __future__ import annotations

from starlette.types import Scope

from config.cmcd import CmcdSettings
from playhead.gateway.addresses import TrustedProxies
from playhead.gateway.lookups import Lookups, from_settings


class Callers:
    """Looks callers up.

    Args:
        settings: databases, and whose X-Forwarded-For is believed.

    Raises:
        DatabaseError: a database that is named cannot be opened.
    """

    def __init__(self, settings: CmcdSettings) -> None:
        self._lookups: Lookups = from_settings(settings)
        self._proxies = TrustedProxies(settings.trusted_proxies)

    def cell_of(self, scope: Scope) -> dict[str, str]:
        """Return the dimensions of the caller that are known."""
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        client = scope.get("client")
        address = self._proxies.client_of(client[0] if client else "", headers.get(b"x-forwarded-for", ""))
        device, platform = self._lookups.device(headers.get(b"user-agent", ""))
        found = {
            "isp": self._lookups.isp(address),
            "region": self._lookups.region(address),
            "device": device,
            "platform": platform,
        }
        return {name: value for name, value in found.items() if value}
