"""Which renditions of a title one player is offered: what its device shows and its connection carries.

A player that is offered more than it can use starts on it, stalls, and comes down; one that is offered a
codec it cannot decode does not start.
"""

from __future__ import annotations

from collections.abc import Iterable

from config.delivery import DeliverySettings
from topics.delivery import Codec, Rendition


def ladder(
    renditions: Iterable[Rendition],
    settings: DeliverySettings,
    device: str,
    connection_kbps: float | None = None,
    audio_kbps: float = 0.0,
) -> list[Rendition]:
    """Return what is offered, lowest bitrate first; empty only where the device can decode none.

    Args:
        device: kind of device; one that is not known counts as ``other_device``.
        connection_kbps: what was measured; without it the connection is no bound.
        audio_kbps: of the audio that comes beside the video, over the same connection.

    Example:
        >>> from config import load
        >>> def made(kbps, codec):
        ...     return Rendition(id=f"v{kbps}", codec=codec, codecs="x", bitrate_kbps=kbps, width=1280,
        ...                      height=720, frame_rate=25)
        >>> found = [made(750, Codec.H264), made(3000, Codec.H264), made(3000, Codec.H265),
        ...          made(8000, Codec.H265)]
        >>> settings = load({}).settings.delivery
        >>> [(each.bitrate_kbps, str(each.codec)) for each in ladder(found, settings, "tv")]
        [(750, 'h264'), (3000, 'h265'), (8000, 'h265')]
        >>> [(each.bitrate_kbps, str(each.codec)) for each in ladder(found, settings, "laptop", 4_000)]
        [(750, 'h264'), (3000, 'h264')]
        >>> [each.bitrate_kbps for each in ladder(found, settings, "laptop", 3_800, audio_kbps=128)]
        [750]
    """
    kind = settings.devices.get(device) or settings.devices[settings.other_device]
    playable = [each for each in renditions if each.codec in kind.codecs]
    most_kbps = kind.bitrate_kbps
    if connection_kbps is not None:
        most_kbps = min(most_kbps, settings.connection_share * connection_kbps - audio_kbps)
    within = [each for each in playable if each.height <= kind.height and each.bitrate_kbps <= most_kbps]
    if not within and playable:
        # Less than the least there is cannot be offered: the player must try.
        within = [min(playable, key=lambda each: (each.bitrate_kbps, each.height))]
    return sorted(
        _one_codec_each(within, settings), key=lambda each: (each.bitrate_kbps, each.height, each.id)
    )


def _one_codec_each(renditions: list[Rendition], settings: DeliverySettings) -> list[Rendition]:
    """Return the renditions, of H.264 only those below where H.265 begins, if there is any of it."""
    begins_kbps = settings.h265_from_kbps
    if not any(each.codec is Codec.H265 and each.bitrate_kbps >= begins_kbps for each in renditions):
        return [each for each in renditions if each.codec is not Codec.H265] or renditions
    wanted = {True: Codec.H265, False: Codec.H264}
    kept = [
        each
        for each in renditions
        if each.codec is wanted[each.bitrate_kbps >= begins_kbps] or each.codec is Codec.AV1
    ]
    return kept or renditions
