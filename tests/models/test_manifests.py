"""Manifests offer what is there, the same on every CDN, in the words of the standards."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree as Xml

import m3u8
import pytest
from hypothesis import given
from hypothesis import strategies as st
from steady import steady

from config import load
from models.dash_manifest import NAMESPACE, presentation
from models.hls_manifest import multivariant
from models.ladder import ladder
from topics.delivery import Audio, Codec, Delivery, Rendition

SETTINGS = load({}).settings.delivery
LADDER_KBPS = [235, 375, 750, 1050, 1750, 2350, 3000, 4300, 5800, 8000, 12_000, 25_000]
HEIGHTS = [180, 240, 360, 360, 480, 720, 720, 1080, 1080, 1080, 1440, 2160]
PATHWAYS = {"cdn-b": "https://b.example/pilot/", "cdn-a": "https://a.example/pilot/"}
STEER = "/v1/steer/state"
MPD = f"{{{NAMESPACE}}}"


def rendition(kbps: float, height: int, codec: Codec = Codec.H264, **more: Any) -> Rendition:
    name = f"{codec}-{kbps}"
    stated = {"hls": f"{name}.m3u8", "dash_init": f"{name}-init.m4s", "dash_media": f"{name}-$Number$.m4s"}
    return Rendition(
        id=name,
        codec=codec,
        codecs="hvc1.1.6.L120.90" if codec is Codec.H265 else "avc1.64001f",
        bitrate_kbps=kbps,
        width=height * 16 // 9,
        height=height,
        frame_rate=29.97,
        **stated | more,
    )


BOTH = [
    rendition(kbps, height, codec)
    for codec in (Codec.H264, Codec.H265)
    for kbps, height in zip(LADDER_KBPS, HEIGHTS, strict=True)
]
SOUND = Audio(
    id="en", codecs="mp4a.40.2", bitrate_kbps=128, language="en", name="English", default=True,
    hls="en.m3u8", dash_init="en-init.m4s", dash_media="en-$Number$.m4s",
)  # fmt: skip


@pytest.mark.parametrize(
    ("device", "most_kbps", "most_height", "codec"),
    [
        ("mobile", 5_000, 1080, Codec.H265),
        ("tablet", 8_000, 1080, Codec.H265),
        ("tv", 25_000, 2160, Codec.H265),
        ("laptop", 10_000, 1080, Codec.H264),
        ("toaster", 10_000, 1080, Codec.H264),
    ],
)
def test_a_device_is_offered_what_it_shows_and_decodes(
    device: str, most_kbps: float, most_height: int, codec: Codec
) -> None:
    offered = ladder(BOTH, SETTINGS, device)

    expected = [
        kbps
        for kbps, height in zip(LADDER_KBPS, HEIGHTS, strict=True)
        if kbps <= most_kbps and height <= most_height
    ]
    assert [each.bitrate_kbps for each in offered] == expected
    assert all(each.codec is (codec if each.bitrate_kbps >= 3_000 else Codec.H264) for each in offered)


renditions = st.lists(
    st.builds(rendition, st.integers(100, 30_000), st.sampled_from(HEIGHTS), st.sampled_from(Codec)),
    max_size=12,
)


@given(renditions, st.sampled_from([*SETTINGS.devices, "toaster"]), st.none() | st.floats(10, 1e5))
@steady
def test_no_rendition_is_offered_that_device_or_connection_cannot_take_while_there_is_another(
    there: list[Rendition], device: str, connection_kbps: float | None
) -> None:
    offered = ladder(there, SETTINGS, device, connection_kbps)

    kind = SETTINGS.devices.get(device, SETTINGS.devices[SETTINGS.other_device])
    most_kbps = min(kind.bitrate_kbps, 0.8 * connection_kbps if connection_kbps else kind.bitrate_kbps)
    assert bool(offered) == any(each.codec in kind.codecs for each in there)
    assert all(each in there and each.codec in kind.codecs for each in offered)
    beyond = [each for each in offered if each.bitrate_kbps > most_kbps or each.height > kind.height]
    assert not beyond or len(offered) == 1
    assert [each.bitrate_kbps for each in offered] == sorted(each.bitrate_kbps for each in offered)


def test_hls_has_the_same_ladder_in_the_same_order_on_every_cdn() -> None:
    offered = ladder(BOTH, SETTINGS, "tv")

    playlist = m3u8.loads(multivariant(PATHWAYS, offered, [SOUND], STEER))

    assert playlist.content_steering.uri == STEER
    assert playlist.content_steering.pathway_id == "cdn-b"
    by_cdn: dict[str, list[Any]] = {}
    for variant in playlist.playlists:
        by_cdn.setdefault(variant.stream_info.pathway_id, []).append(variant)
    assert list(by_cdn) == ["cdn-b", "cdn-a"]
    for cdn, variants in by_cdn.items():
        assert [each.stream_info.stable_variant_id for each in variants] == [each.id for each in offered]
        assert [each.uri for each in variants] == [PATHWAYS[cdn] + each.hls for each in offered]
        assert {each.stream_info.audio for each in variants} == {f"audio-{cdn}"}
    first, there = by_cdn["cdn-b"][0].stream_info, offered[0]
    assert first.bandwidth == 1_000 * (there.bitrate_kbps + SOUND.bitrate_kbps)
    assert first.resolution == (there.width, there.height)
    assert first.frame_rate == 29.97
    assert first.codecs == "avc1.64001f,mp4a.40.2"
    sounds = {(each.group_id, each.uri, each.stable_rendition_id) for each in playlist.media}
    assert sounds == {(f"audio-{cdn}", folder + "en.m3u8", "en") for cdn, folder in PATHWAYS.items()}


def test_hls_names_only_what_is_there_and_muxed_audio_in_the_codecs() -> None:
    muxed = Audio(id="sound", codecs="mp4a.40.2", bitrate_kbps=64)
    there = [rendition(750, 360), rendition(1_050, 360, hls="")]

    playlist = m3u8.loads(multivariant(PATHWAYS, there, [muxed]))

    assert [each.uri for each in playlist.playlists] == [
        folder + there[0].hls for folder in PATHWAYS.values()
    ]
    assert not playlist.media
    assert playlist.playlists[0].stream_info.codecs == "avc1.64001f,mp4a.40.2"
    assert playlist.content_steering is None


def test_a_name_cannot_break_out_of_its_quotes() -> None:
    named = Audio(
        id="en", codecs="mp4a.40.2", bitrate_kbps=64, name='a",URI="https://evil/\nx', hls="en.m3u8"
    )

    text = multivariant(PATHWAYS, [rendition(750, 360)], [named])

    assert len(m3u8.loads(text).media) == len(PATHWAYS)
    assert {each.uri for each in m3u8.loads(text).media} == {
        folder + "en.m3u8" for folder in PATHWAYS.values()
    }


def test_dash_has_what_the_schema_asks_for_in_its_order() -> None:
    offered = ladder(BOTH, SETTINGS, "tablet")
    delivery = Delivery(renditions=BOTH, audio=[SOUND], segment_s=2, first_segment=1)

    root = Xml.fromstring(presentation(PATHWAYS, offered, delivery, 61.5, "https://g.example/v1/steer/s"))

    assert root.tag == f"{MPD}MPD"
    assert {"profiles", "minBufferTime", "mediaPresentationDuration"} <= set(root.keys())
    assert root.get("mediaPresentationDuration") == "PT61.5S"
    assert [each.tag.removeprefix(MPD) for each in root] == [
        "BaseURL",
        "BaseURL",
        "ContentSteering",
        "Period",
    ]
    bases = {each.get("serviceLocation"): each.text for each in root.findall(f"{MPD}BaseURL")}
    assert bases == PATHWAYS
    steering = root.find(f"{MPD}ContentSteering")
    assert steering is not None
    assert steering.attrib == {"defaultServiceLocation": "cdn-b", "queryBeforeStart": "true"}
    assert steering.text == "https://g.example/v1/steer/s"
    found = root.findall(f".//{MPD}Representation")
    assert {each.get("id") for each in found} == {*(each.id for each in offered), "en"}
    assert len({each.get("id") for each in found}) == len(found)
    for each in found:
        assert {"id", "bandwidth", "codecs"} <= set(each.keys())
        template = each.find(f"{MPD}SegmentTemplate")
        assert template is not None
        assert {"timescale", "duration", "startNumber", "media", "initialization"} <= set(template.keys())
        assert "$Number$" in template.get("media", "")
    sets = root.findall(f".//{MPD}AdaptationSet")
    assert len({each.get("id") for each in sets}) == len(sets)
    assert [each.get("contentType") for each in sets] == ["video", "video", "audio"]
    assert {each.get("mimeType") for each in sets} == {"video/mp4", "audio/mp4"}
    assert root.findall(f".//{MPD}Representation[@frameRate='30000/1001']")


def test_what_is_not_there_at_all_is_not_promised() -> None:
    without = [rendition(750, 360, hls="", dash_media="")]

    with pytest.raises(ValueError, match="HLS playlist"):
        multivariant(PATHWAYS, without, [])
    with pytest.raises(ValueError, match="DASH segments"):
        presentation(PATHWAYS, without, Delivery(renditions=without), 10.0)
