"""Signatures of messages: whoever shares the secret can tell that one is ours, whole, and not an old one.

``Playhead-Signature: sha256=…`` is HMAC-SHA256 (RFC 2104), in hex, over the text of ``Playhead-Timestamp``
(Unix seconds), a dot, and the body.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping

SIGNATURE, TIMESTAMP, IDEMPOTENCY = "Playhead-Signature", "Playhead-Timestamp", "Idempotency-Key"


def signed(body: bytes, secret: str, now_s: int) -> dict[str, str]:
    """Return the headers that sign `body`; none where there is no secret.

    >>> signed(b"{}", "a secret", 1_700_000_000)["Playhead-Signature"][:23]
    'sha256=f4c7f7db2c2d22e9'
    """
    if not secret:
        return {}
    return {TIMESTAMP: str(now_s), SIGNATURE: f"sha256={_digest(body, secret, str(now_s))}"}


def is_ours(headers: Mapping[str, str], body: bytes, secret: str, now_s: int, within_s: int = 300) -> bool:
    """Whether `body` came with a right signature that is not older than `within_s`: for receivers.

    >>> headers = signed(b"{}", "a secret", 1_700_000_000)
    >>> is_ours(headers, b"{}", "a secret", 1_700_000_010), is_ours(headers, b"[]", "a secret", 1_700_000_010)
    (True, False)
    """
    told_s, signature = headers.get(TIMESTAMP, ""), headers.get(SIGNATURE, "")
    if not told_s.isdecimal() or abs(now_s - int(told_s)) > within_s:
        return False
    return hmac.compare_digest(signature, f"sha256={_digest(body, secret, told_s)}")


def _digest(body: bytes, secret: str, told_s: str) -> str:
    return hmac.digest(secret.encode(), told_s.encode() + b"." + body, "sha256").hex()
