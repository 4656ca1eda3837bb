"""Real H.264 and AAC for players to play, made by ffmpeg once and kept in the data folder."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from playhead.engine.folders import data_folder
from topics.catalogue import Title
from topics.delivery import Audio, Codec, Delivery, Rendition
from topics.errors import PlayheadError

VERSION = 1
"""Of what is made: another number makes it anew."""

SEGMENT_S = 2
FRAME_RATE = 25
FFMPEG_TIMEOUT_S = 300


class MediaError(PlayheadError):
    """The media cannot be made."""

    exit_code = 3


def media_folder(duration_s: int) -> Path:
    """Return a folder with HLS and DASH of a test picture, made where it is not there yet.

    Two renditions, 320x180 and 640x360, of which HLS has audio muxed in and DASH apart.

    Raises:
        MediaError: there is no ffmpeg, or it failed.
    """
    folder = data_folder() / f"media-{VERSION}-{duration_s}s"
    if folder.is_dir():
        return folder
    if shutil.which("ffmpeg") is None:
        raise MediaError("there is no ffmpeg: run scripts/setup.sh, or apt-get install ffmpeg")
    partial = folder.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)
    (partial / "hls").mkdir(parents=True)
    (partial / "dash").mkdir()
    _ffmpeg(_hls(duration_s), partial)
    _ffmpeg(_dash(), partial)
    partial.rename(folder)
    return folder


def catalogue_title(title: str, duration_s: int, *, time_ms: int) -> Title:
    """Return the catalogue's record of what `media_folder` has."""
    renditions = [
        Rendition(
            id=f"v{number}",
            codec=Codec.H264,
            codecs=codecs,
            bitrate_kbps=peak_kbps,
            average_kbps=average_kbps,
            width=width,
            height=height,
            frame_rate=FRAME_RATE,
            hls=f"hls/v{number}.m3u8",
            dash_init=f"dash/init-{number}.m4s",
            dash_media=f"dash/chunk-{number}-$Number%05d$.m4s",
        )
        for number, (codecs, peak_kbps, average_kbps, width, height) in enumerate(
            [("avc1.42c00c", 350, 300, 320, 180), ("avc1.42c01e", 1_050, 900, 640, 360)]
        )
    ]
    audio = Audio(
        id="sound",
        codecs="mp4a.40.2",
        bitrate_kbps=64,
        default=True,
        dash_init="dash/init-2.m4s",
        dash_media="dash/chunk-2-$Number%05d$.m4s",
    )
    return Title(
        time_ms=time_ms,
        title=title,
        duration_s=duration_s,
        delivery=Delivery(renditions=renditions, audio=[audio], segment_s=SEGMENT_S),
    )


def _hls(duration_s: int) -> list[str]:
    gop = str(FRAME_RATE * SEGMENT_S)
    return [
        *("-f", "lavfi", "-i", f"testsrc2=size=640x360:rate={FRAME_RATE}:duration={duration_s}"),
        *("-f", "lavfi", "-i", f"sine=frequency=440:sample_rate=48000:duration={duration_s}"),
        *("-filter_complex", "[0:v]split=2[a][b];[a]scale=320:180[a1];[b]copy[b1]"),
        *("-map", "[a1]", "-map", "1:a", "-map", "[b1]", "-map", "1:a"),
        *("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p"),
        *("-g", gop, "-keyint_min", gop, "-sc_threshold", "0"),
        *("-b:v:0", "300k", "-maxrate:v:0", "330k", "-bufsize:v:0", "600k"),
        *("-b:v:1", "900k", "-maxrate:v:1", "990k", "-bufsize:v:1", "1800k"),
        *("-c:a", "aac", "-b:a", "64k", "-ac", "2"),
        *("-f", "hls", "-hls_time", str(SEGMENT_S), "-hls_playlist_type", "vod"),
        *("-hls_flags", "independent_segments", "-hls_segment_type", "fmp4"),
        *("-hls_fmp4_init_filename", "init_%v.mp4", "-hls_segment_filename", "hls/v%v_%04d.m4s"),
        *("-var_stream_map", "v:0,a:0 v:1,a:1", "hls/v%v.m3u8"),
    ]


def _dash() -> list[str]:
    return [
        *(
            "-i",
            "hls/v0.m3u8",
            "-i",
            "hls/v1.m3u8",
            "-map",
            "0:v",
            "-map",
            "1:v",
            "-map",
            "1:a",
            "-c",
            "copy",
        ),
        *("-f", "dash", "-seg_duration", str(SEGMENT_S), "-use_template", "1", "-use_timeline", "0"),
        *("-init_seg_name", "init-$RepresentationID$.m4s"),
        *("-media_seg_name", "chunk-$RepresentationID$-$Number%05d$.m4s"),
        *("-adaptation_sets", "id=0,streams=v id=1,streams=a", "dash/base.mpd"),
    ]


def _ffmpeg(arguments: list[str], folder: Path) -> None:
    command = ["ffmpeg", "-v", "error", "-y", *arguments]
    done = subprocess.run(  # noqa: S603
        command, cwd=folder, capture_output=True, timeout=FFMPEG_TIMEOUT_S, check=False
    )
    if done.returncode:
        raise MediaError(f"ffmpeg failed: {done.stderr.decode(errors='replace').strip()[-500:]}")
