"""The multivariant playlist of HLS (RFC 8216bis) with content steering.

Every pathway has the same variants in the same order: a player that is steered to a shorter ladder stops
loading. Only renditions that are there are named.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from topics.delivery import Audio, Rendition

CONTENT_TYPE = "application/vnd.apple.mpegurl"


def multivariant(
    pathways: Mapping[str, str],
    renditions: Sequence[Rendition],
    audio: Sequence[Audio],
    steering_uri: str = "",
) -> str:
    """Return the playlist.

    Args:
        pathways: the title's folder on each CDN, ending in a slash, the one to start on first.
        renditions: those with an HLS playlist are offered, in this order.
        audio: with a playlist of its own it has a group per pathway; without one it is muxed into the video.
        steering_uri: where players poll; without it there is no steering.

    Raises:
        ValueError: there is no pathway, or no rendition with a playlist.
    """
    variants = [each for each in renditions if each.hls]
    if not pathways or not variants:
        raise ValueError("an HLS manifest needs a CDN and a rendition that has an HLS playlist")
    separate = [each for each in audio if each.hls]
    lines = ["#EXTM3U", "#EXT-X-VERSION:7", "#EXT-X-INDEPENDENT-SEGMENTS"]
    if steering_uri:
        first = next(iter(pathways))
        lines.append(
            f"#EXT-X-CONTENT-STEERING:SERVER-URI={_quoted(steering_uri)},PATHWAY-ID={_quoted(first)}"
        )
    for pathway, folder in pathways.items():
        lines += [_media(each, pathway, folder) for each in separate]
    for pathway, folder in pathways.items():
        for rendition in variants:
            lines += [_variant(rendition, audio, pathway, grouped=bool(separate)), folder + rendition.hls]
    return "\n".join(lines) + "\n"


def _media(audio: Audio, pathway: str, folder: str) -> str:
    attributes = {
        "TYPE": "AUDIO",
        "GROUP-ID": _quoted(_group(pathway)),
        "NAME": _quoted(audio.name or audio.language or audio.id),
        **({"LANGUAGE": _quoted(audio.language)} if audio.language else {}),
        "DEFAULT": "YES" if audio.default else "NO",
        "AUTOSELECT": "YES",
        "CHANNELS": _quoted(str(audio.channels)),
        "STABLE-RENDITION-ID": _quoted(audio.id),
        "PATHWAY-ID": _quoted(pathway),
        "URI": _quoted(folder + audio.hls),
    }
    return f"#EXT-X-MEDIA:{_listed(attributes)}"


def _variant(rendition: Rendition, audio: Sequence[Audio], pathway: str, *, grouped: bool) -> str:
    sound_kbps = max((each.bitrate_kbps for each in audio), default=0.0)
    codecs = list(dict.fromkeys([rendition.codecs, *(each.codecs for each in audio)]))
    attributes = {"BANDWIDTH": str(_bits(rendition.bitrate_kbps + sound_kbps))}
    if rendition.average_kbps is not None:
        attributes["AVERAGE-BANDWIDTH"] = str(_bits(rendition.average_kbps + sound_kbps))
    attributes |= {
        "CODECS": _quoted(",".join(codecs)),
        "RESOLUTION": f"{rendition.width}x{rendition.height}",
        "FRAME-RATE": f"{rendition.frame_rate:.3f}",
        **({"AUDIO": _quoted(_group(pathway))} if grouped else {}),
        "STABLE-VARIANT-ID": _quoted(rendition.id),
        "PATHWAY-ID": _quoted(pathway),
    }
    return f"#EXT-X-STREAM-INF:{_listed(attributes)}"


def _group(pathway: str) -> str:
    return f"audio-{pathway}"


def _bits(kbps: float) -> int:
    return math.ceil(1_000 * kbps)


def _listed(attributes: Mapping[str, str]) -> str:
    return ",".join(f"{name}={value}" for name, value in attributes.items())


def _quoted(text: str) -> str:
    """Return `text` as a quoted string, which can hold neither quotes nor line ends (RFC 8216bis, 4.2)."""
    return '"' + "".join(each for each in text if each not in '"\r\n') + '"'
