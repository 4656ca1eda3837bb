"""Who sends: the client's address behind proxies that are trusted, and how much one address may send."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_address


class TrustedProxies:
    """Finds the client's address where trusted proxies stand in front.

    >>> from ipaddress import ip_network
    >>> proxies = TrustedProxies([ip_network("10.0.0.0/8")])
    >>> proxies.client_of("10.0.0.1", "203.0.113.9, 10.0.0.7")
    '203.0.113.9'
    >>> proxies.client_of("198.51.100.1", "203.0.113.9")
    '198.51.100.1'
    """

    def __init__(self, networks: Iterable[IPv4Network | IPv6Network]) -> None:
        self._networks = tuple(networks)
        self._trusts = lru_cache(maxsize=4096)(self._is_trusted)

    def client_of(self, peer: str, forwarded_for: str) -> str:
        """Return the address farthest from here that a chain of trusted proxies vouches for.

        Args:
            peer: who is connected.
            forwarded_for: the X-Forwarded-For header, the farthest first.
        """
        client = peer
        for hop in reversed(forwarded_for.split(",")):
            if not hop.strip() or not self._trusts(client):
                break
            client = hop.strip()
        return client

    def _is_trusted(self, address: str) -> bool:
        try:
            parsed = ip_address(address)
        except ValueError:
            return False
        return any(parsed in network for network in self._networks)


class AddressLimit:
    """Lets each address make so many requests a second, and a burst of more.

    Args:
        per_s: requests a second; 0 for no limit.
        burst: at once.
        remembered: addresses; the longest unseen are forgotten, and so may burst again.
        now_s: seconds on a clock that never goes back.
    """

    def __init__(
        self, per_s: float, burst: float, remembered: int, now_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._per_s = per_s
        self._burst = burst
        self._remembered = remembered
        self._now_s = now_s
        self._left: dict[str, tuple[float, float]] = {}
        """Requests left, and when that was so; the longest unseen first."""

    def admits(self, address: str) -> bool:
        """Return whether `address` may make a request now, and count it."""
        if not self._per_s:
            return True
        now_s = self._now_s()
        left, at_s = self._left.pop(address, (self._burst, now_s))
        left = min(left + (now_s - at_s) * self._per_s, self._burst)
        admitted = left >= 1.0
        self._left[address] = (left - 1.0 if admitted else left, now_s)
        if len(self._left) > self._remembered:
            del self._left[next(iter(self._left))]
        return admitted
