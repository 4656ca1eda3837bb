"""A spool on disk: what was acknowledged, until Kafka has it.

Frames are appended to segments, files numbered in their order. A frame is the length of its payload and its
CRC-32, four bytes each, big-endian, then the payload. A process that is killed loses nothing that `append`
has returned from; a torn frame at the end was never acknowledged, and is passed over. How far Kafka has taken
the frames stands in the file ``cursor``; a segment it has whole is deleted.

PlayheadError
├── SpoolInUseError   another gateway has the folder
└── SpoolFullError    it holds as much as it may, or the disk takes no more
"""

from __future__ import annotations

import fcntl
import os
import struct
import threading
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
import structlog

from config.cmcd import SpoolSettings
from topics.errors import PlayheadError

log = structlog.get_logger(__name__)

_HEAD = struct.Struct(">II")
_SUFFIX = ".frames"
_CURSOR = "cursor"
_LOCK = "lock"


class SpoolInUseError(PlayheadError):
    """Another gateway has the folder."""

    exit_code = 2


class SpoolFullError(PlayheadError):
    """No more can be taken until Kafka has taken some."""


class Position(NamedTuple):
    """A place between two frames."""

    segment: int
    offset: int


_POSITIONS = msgspec.json.Decoder(Position)


class Chunk(NamedTuple):
    """Frames read at once, and where they end."""

    payloads: list[bytes]
    end: Position


class Spool:
    """Appends frames, reads them in order, forgets those that are done with.

    One thread may append while another reads and releases.

    Args:
        folder: its own; made where it is missing.
        figures: bounds.

    Raises:
        SpoolInUseError: another process has `folder`.

    Example:
        >>> import config, tempfile
        >>> figures = config.load({}).settings.cmcd.spool
        >>> spool = Spool(Path(tempfile.mkdtemp()), figures)
        >>> spool.append([b"one", b"two"])
        >>> chunk = spool.read(spool.cursor)
        >>> chunk.payloads
        [b'one', b'two']
        >>> spool.release(chunk.end)
        >>> spool.read(spool.cursor).payloads
        []
        >>> spool.close()
    """

    def __init__(self, folder: Path, figures: SpoolSettings) -> None:
        self.folder = folder
        self._figures = figures
        folder.mkdir(parents=True, exist_ok=True)
        self._lock_file = (folder / _LOCK).open("w")
        try:
            fcntl.flock(self._lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._lock_file.close()
            raise SpoolInUseError(
                f"{folder}: another gateway has this spool; give each its own by cmcd.spool.folder"
                " (PLAYHEAD_CMCD__SPOOL__FOLDER)"
            ) from error
        self.skipped_bytes = 0
        """What could not be read back: a disk's fault, or the torn end of a killed process."""
        self._guard = threading.Lock()
        self._sizes = {number: self._path(number).stat().st_size for number in self._found()}
        newest = max(self._sizes, default=-1)
        self.cursor = self._load_cursor()
        """Up to where Kafka has all."""
        self._saved = self.cursor
        self._begin_segment(max(newest, self.cursor.segment) + 1)

    @property
    def size_bytes(self) -> int:
        """What it takes on disk."""
        with self._guard:
            return sum(self._sizes.values())

    @property
    def waiting_bytes(self) -> int:
        """What Kafka has not taken yet."""
        with self._guard:
            return sum(
                size - (self.cursor.offset if number == self.cursor.segment else 0)
                for number, size in self._sizes.items()
                if number >= self.cursor.segment
            )

    def _path(self, segment: int) -> Path:
        return self.folder / f"{segment:012d}{_SUFFIX}"

    def _found(self) -> Iterator[int]:
        for path in self.folder.glob(f"*{_SUFFIX}"):
            if path.stem.isdigit():
                yield int(path.stem)

    def _load_cursor(self) -> Position:
        try:
            return _POSITIONS.decode((self.folder / _CURSOR).read_bytes())
        except FileNotFoundError:
            pass
        except msgspec.MsgspecError:
            # All that is still there is sent again: twice is harmless, not at all is not.
            log.warning("the spool's cursor cannot be read", folder=str(self.folder))
        return Position(min(self._sizes, default=0), 0)

    def _begin_segment(self, number: int) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        self._descriptor = os.open(self._path(number), flags, 0o600)
        with self._guard:
            self._segment, self._end = number, 0
            self._sizes[number] = 0

    def _finish_segment(self) -> None:
        if self._figures.sync != "never":
            os.fsync(self._descriptor)
        os.close(self._descriptor)

    # -- writing ------------------------------------------------------------------------------------------

    def append(self, payloads: Sequence[bytes]) -> None:
        """Write a frame for each of `payloads`: all, or none where it raises.

        Raises:
            SpoolFullError: they would exceed the bound, or the disk does not take them.
        """
        data = b"".join(_HEAD.pack(len(each), zlib.crc32(each)) + each for each in payloads)
        if self.size_bytes + len(data) > self._figures.max_bytes:
            raise SpoolFullError(f"{self.folder}: {self._figures.max_bytes} bytes are taken")
        if self._end and self._end + len(data) > self._figures.segment_bytes:
            self._finish_segment()
            self._begin_segment(self._segment + 1)
        try:
            written = 0
            while written < len(data):
                written += os.write(self._descriptor, data[written:])
        except OSError as error:
            os.ftruncate(self._descriptor, self._end)
            raise SpoolFullError(f"{self.folder}: {error.strerror}") from error
        with self._guard:
            self._end += len(data)
            self._sizes[self._segment] = self._end

    def sync(self) -> None:
        """Return once the disk has what was written."""
        os.fsync(self._descriptor)

    # -- reading ------------------------------------------------------------------------------------------

    def read(self, at: Position) -> Chunk:
        """Return the frames from `at` on, about as many as fit a chunk; none where there are none yet."""
        while True:
            with self._guard:
                current, end = self._segment, self._end
                there = sorted(number for number in self._sizes if number >= at.segment)
                size = end if at.segment == current else self._sizes.get(at.segment, 0)
            if at.segment not in there:
                if not there:
                    return Chunk([], at)
                at = Position(there[0], 0)
                continue
            payloads, offset = self._frames(at, size)
            if payloads or (at.segment == current and offset == at.offset):
                return Chunk(payloads, Position(at.segment, offset))
            if offset > at.offset:  # what stood between could not be read
                at = Position(at.segment, offset)
                continue
            if offset < size:
                self._pass_over(at.segment, size - offset)
            at = Position(at.segment + 1, 0)

    def _frames(self, at: Position, size: int) -> tuple[list[bytes], int]:
        """Return the good frames between `at` and `size`, and how far was read."""
        with self._path(at.segment).open("rb") as file:
            file.seek(at.offset)
            data = file.read(max(min(size - at.offset, self._figures.chunk_bytes), 0))
            if len(data) >= _HEAD.size:
                length, _ = _HEAD.unpack_from(data)
                if length + _HEAD.size > len(data):  # one frame larger than a chunk
                    data += file.read(min(length + _HEAD.size, size - at.offset) - len(data))
        payloads: list[bytes] = []
        offset = 0
        while offset + _HEAD.size <= len(data):
            length, crc = _HEAD.unpack_from(data, offset)
            end = offset + _HEAD.size + length
            if end > len(data):
                break
            payload = data[offset + _HEAD.size : end]
            if zlib.crc32(payload) == crc:
                payloads.append(payload)
            else:
                self._pass_over(at.segment, end - offset)
            offset = end
        return payloads, at.offset + offset

    def _pass_over(self, segment: int, size: int) -> None:
        self.skipped_bytes += size
        log.warning("frames of the spool cannot be read", file=str(self._path(segment)), bytes=size)

    def release(self, up_to: Position) -> None:
        """Take note that all before `up_to` is done with, and delete whole segments of it."""
        with self._guard:
            self.cursor = up_to
            done = [number for number in self._sizes if number < up_to.segment]
            for number in done:
                del self._sizes[number]
        for number in done:
            self._path(number).unlink(missing_ok=True)

    def save_cursor(self) -> None:
        """Write down how far Kafka has taken the frames; what it took later is sent again after a kill."""
        if self.cursor == self._saved:
            return
        cursor = self.cursor
        temporary = self.folder / f"{_CURSOR}.new"
        temporary.write_bytes(msgspec.json.encode(cursor))
        temporary.replace(self.folder / _CURSOR)
        self._saved = cursor

    def close(self) -> None:
        """Let the folder go; what is in it stays for the next who opens it."""
        self._finish_segment()
        self.save_cursor()
        self._lock_file.close()
