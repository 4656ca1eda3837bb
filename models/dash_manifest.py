"""The MPD of DASH (ISO/IEC 23009-1) with content steering (ETSI TS 103 998)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from fractions import Fraction
from xml.etree import ElementTree as Xml

from topics.delivery import Audio, Codec, Delivery, Rendition

CONTENT_TYPE = "application/dash+xml"
NAMESPACE = "urn:mpeg:dash:schema:mpd:2011"
PROFILE = "urn:mpeg:dash:profile:isoff-live:2011"
SWITCHING = "urn:mpeg:dash:adaptation-set-switching:2016"
CHANNELS = "urn:mpeg:dash:23003:3:audio_channel_configuration:2011"
CLOCK = "urn:mpeg:dash:utc:direct:2014"
TIMESCALE = 1_000


@dataclass(frozen=True, slots=True)
class Live:
    """What a player has to know of a live title (ISO/IEC 23009-1, 5.3.1.2).

    Args:
        since_ms: when the first segment began.
        now_ms: what the player's clock is set by.
        window_s: how far back it may seek.
        delay_s: how far behind the newest segment it had best stay.
        update_s: how soon it asks for the manifest again.
    """

    since_ms: int
    now_ms: int
    window_s: float
    delay_s: float
    update_s: float


def presentation(
    pathways: Mapping[str, str],
    renditions: Sequence[Rendition],
    delivery: Delivery,
    span: float | Live,
    steering_uri: str = "",
) -> str:
    """Return the MPD of a title.

    Args:
        pathways: the title's folder on each CDN, ending in a slash, the one to start on first.
        renditions: those with DASH segments are offered, in this order.
        delivery: separate audio, and the length and number of the segments.
        span: how many seconds it lasts, or what is to be known of it while it is live.
        steering_uri: absolute; without it there is no steering.

    Raises:
        ValueError: there is no pathway, or no rendition with DASH segments.
    """
    videos = [each for each in renditions if each.dash_media]
    if not pathways or not videos:
        raise ValueError("a DASH manifest needs a CDN and a rendition that has DASH segments")
    mpd = Xml.Element(
        "MPD",
        {
            "xmlns": NAMESPACE,
            "profiles": PROFILE,
            **_lasting(span),
            "minBufferTime": f"PT{delivery.segment_s:g}S",
        },
    )
    for pathway, folder in pathways.items():
        Xml.SubElement(mpd, "BaseURL", serviceLocation=pathway).text = folder
    if steering_uri:
        first = next(iter(pathways))
        steering = {"defaultServiceLocation": first, "queryBeforeStart": "true"}
        Xml.SubElement(mpd, "ContentSteering", steering).text = steering_uri
    period = Xml.SubElement(mpd, "Period", id="0", start="PT0S")
    _add_videos(period, videos, delivery)
    for number, audio in enumerate(each for each in delivery.audio if each.dash_media):
        _add_audio(period, audio, delivery, str(number + 100))
    if isinstance(span, Live):
        Xml.SubElement(mpd, "UTCTiming", schemeIdUri=CLOCK, value=_utc(span.now_ms))
    Xml.indent(mpd)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + Xml.tostring(mpd, encoding="unicode") + "\n"


def _lasting(span: float | Live) -> dict[str, str]:
    if not isinstance(span, Live):
        return {"type": "static", "mediaPresentationDuration": f"PT{span:g}S"}
    return {
        "type": "dynamic",
        "availabilityStartTime": _utc(span.since_ms),
        "publishTime": _utc(span.now_ms),
        "timeShiftBufferDepth": f"PT{span.window_s:g}S",
        "suggestedPresentationDelay": f"PT{span.delay_s:g}S",
        "minimumUpdatePeriod": f"PT{span.update_s:g}S",
    }


def _utc(time_ms: int) -> str:
    """Return a time as `xs:dateTime`.

    >>> _utc(1_781_980_200_250)
    '2026-06-20T18:30:00.250Z'
    """
    told = datetime.fromtimestamp(time_ms / 1_000, UTC).isoformat(timespec="milliseconds")
    return told.replace("+00:00", "Z")


def _add_videos(period: Xml.Element, videos: Sequence[Rendition], delivery: Delivery) -> None:
    """Add a set of each codec; players may go from one to the other."""
    order: list[Codec] = list(dict.fromkeys(each.codec for each in videos))
    for number, codec in enumerate(order):
        found = [each for each in videos if each.codec is codec]
        kinds = {
            "id": str(number),
            "contentType": "video",
            "mimeType": "video/mp4",
            "segmentAlignment": "true",
            "startWithSAP": "1",
            "maxWidth": str(max(each.width for each in found)),
            "maxHeight": str(max(each.height for each in found)),
        }
        adaptation = Xml.SubElement(period, "AdaptationSet", kinds)
        others = ",".join(str(other) for other in range(len(order)) if other != number)
        if others:
            Xml.SubElement(adaptation, "SupplementalProperty", schemeIdUri=SWITCHING, value=others)
        for each in found:
            stated = {
                "id": each.id,
                "bandwidth": str(math.ceil(1_000 * each.bitrate_kbps)),
                "codecs": each.codecs,
                "width": str(each.width),
                "height": str(each.height),
                "frameRate": _rate(each.frame_rate),
            }
            representation = Xml.SubElement(adaptation, "Representation", stated)
            _add_segments(representation, each, delivery)


def _add_audio(period: Xml.Element, audio: Audio, delivery: Delivery, number: str) -> None:
    kinds = {
        "id": number,
        "contentType": "audio",
        "mimeType": "audio/mp4",
        "segmentAlignment": "true",
        "startWithSAP": "1",
    }
    if audio.language:
        kinds["lang"] = audio.language
    adaptation = Xml.SubElement(period, "AdaptationSet", kinds)
    if audio.default:
        Xml.SubElement(adaptation, "Role", schemeIdUri="urn:mpeg:dash:role:2011", value="main")
    stated = {
        "id": audio.id,
        "bandwidth": str(math.ceil(1_000 * audio.bitrate_kbps)),
        "codecs": audio.codecs,
        "audioSamplingRate": str(audio.sample_rate_hz),
    }
    representation = Xml.SubElement(adaptation, "Representation", stated)
    Xml.SubElement(
        representation, "AudioChannelConfiguration", schemeIdUri=CHANNELS, value=str(audio.channels)
    )
    _add_segments(representation, audio, delivery)


def _add_segments(representation: Xml.Element, media: Rendition | Audio, delivery: Delivery) -> None:
    template = {
        "timescale": str(TIMESCALE),
        "duration": str(round(TIMESCALE * delivery.segment_s)),
        "startNumber": str(delivery.first_segment),
        "media": media.dash_media,
    }
    if media.dash_init:
        template["initialization"] = media.dash_init
    Xml.SubElement(representation, "SegmentTemplate", template)


def _rate(frame_rate: float) -> str:
    """Return frames a second as DASH writes them: a whole number or a ratio.

    >>> _rate(25.0), _rate(29.97), _rate(12.5)
    ('25', '30000/1001', '25/2')
    """
    broadcast = Fraction(round(frame_rate * 1.001) * 1_000, 1_001)
    exact = broadcast if abs(float(broadcast) - frame_rate) < 0.01 and frame_rate % 1 else None
    rate = exact or Fraction(frame_rate).limit_denominator(100)
    return str(rate)
