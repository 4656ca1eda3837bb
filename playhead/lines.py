"""Lines of a file or of standard input, compressed or not, in bounded memory.

Compression is told by the content's first bytes, whatever the name: gzip (RFC 1952) and Zstandard (RFC 8878).
"""

from __future__ import annotations

import io
import os
import select
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Literal, NamedTuple, Self

import pyarrow as pa

from topics.errors import PlayheadError

STANDARD_INPUT = "-"
BLOCK_BYTES = 256 * 1024
QUIET_S = 0.2

_MAGIC: dict[bytes, Literal["gzip", "zstd"]] = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd"}
_NOT_LINES = {b"PAR1": "a Parquet file", b"PK\x03\x04": "a zip archive", b"BZh": "compressed with bzip2"}
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class InputError(PlayheadError):
    """The input cannot be read."""

    exit_code = 3


class Block(NamedTuple):
    """Some whole lines, without their ends; none when the input is quiet just now.

    A line beyond the limit is cut to one byte more than the limit.
    """

    first: int
    """Number of the first line, from 1."""
    lines: list[bytes]


class LineReader:
    """Reads the lines of one input; a context manager.

    Args:
        source: path of a file, or ``-`` for standard input.
        max_line_bytes: longer lines are cut, and what follows of them is passed over.
        stopped: asked while nothing comes; once true, the input is taken to have ended.

    Raises:
        InputError: the input cannot be opened, or is of a kind that has no lines.
    """

    def __init__(
        self, source: str, *, max_line_bytes: int, stopped: Callable[[], bool] = lambda: False
    ) -> None:
        self.name = "standard input" if source == STANDARD_INPUT else source
        self._max_line_bytes = max_line_bytes
        self._stopped = stopped
        try:
            self._raw = _Raw(source, stopped)
            self._stream: io.RawIOBase | pa.NativeFile = self._raw
            head = self._raw.peek(4)
        except OSError as error:
            raise InputError(f"{self.name} cannot be read: {error.strerror}") from error
        for magic, kind in _NOT_LINES.items():
            if head.startswith(magic):
                self._raw.close()
                raise InputError(f"{self.name} is {kind}; JSON lines are wanted, plain, gzip or zstd")
        self.compression = next((name for magic, name in _MAGIC.items() if head.startswith(magic)), None)
        if self.compression is not None:
            self._stream = pa.CompressedInputStream(pa.PythonFile(self._raw, mode="r"), self.compression)

    @property
    def total_bytes(self) -> int | None:
        """Size of the input as it lies there, where that is known."""
        return self._raw.total_bytes

    @property
    def taken_bytes(self) -> int:
        """How much of `total_bytes` has been read."""
        return self._raw.taken_bytes

    def blocks(self) -> Iterator[Block]:
        """Yield all lines, in blocks.

        Raises:
            InputError: reading fails, such as where compressed data are damaged or cut short.
        """
        number, rest, passing_over = 1, b"", False
        for chunk in self._chunks():
            if passing_over:
                end = chunk.find(b"\n")
                if end < 0:
                    continue
                rest, passing_over = chunk[end + 1 :], False
            else:
                rest += chunk
            lines = rest.replace(b"\r\n", b"\n").split(b"\n")
            rest = lines.pop()
            if len(rest) > self._max_line_bytes:
                lines.append(rest)
                rest, passing_over = b"", True
            yield Block(number, [line[: self._max_line_bytes + 1] for line in lines])
            number += len(lines)
        if rest:
            yield Block(number, [rest])

    def _chunks(self) -> Iterator[bytes]:
        first = True
        while True:
            if self.compression is None and not self._raw.ready(QUIET_S):
                yield b""
                continue
            try:
                chunk = bytes(self._stream.read(BLOCK_BYTES) or b"")
            except (OSError, pa.ArrowException) as error:
                if self._stopped():
                    return
                raise InputError(f"{self.name} cannot be read to its end: {error}") from error
            if not chunk:
                return
            yield chunk.removeprefix(_BYTE_ORDER_MARK) if first else chunk
            first = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._raw.close()


class _Raw(io.RawIOBase):
    """The bytes as they lie there, counted; a pipe is waited for without being deaf to `stopped`."""

    def __init__(self, source: str, stopped: Callable[[], bool]) -> None:
        super().__init__()
        self._stopped = stopped
        from_standard_input = source == STANDARD_INPUT
        descriptor = os.dup(0) if from_standard_input else os.open(Path(source), os.O_RDONLY | os.O_CLOEXEC)
        self._file = io.FileIO(descriptor, "rb")
        info = os.fstat(self._file.fileno())
        self._is_regular = stat.S_ISREG(info.st_mode)
        self.total_bytes = info.st_size if self._is_regular else None
        self.taken_bytes = 0
        self._ahead = b""

    def ready(self, timeout_s: float) -> bool:
        """Return whether a read would not wait."""
        if self._is_regular or self._ahead or self._stopped():
            return True
        return bool(select.select([self._file], [], [], timeout_s)[0])

    def peek(self, count: int) -> bytes:
        """Return the first bytes without taking them."""
        while len(self._ahead) < count and (more := self._read_some(count - len(self._ahead))):
            self._ahead += more
        return self._ahead

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        """Return at most `size` bytes, fewer where fewer are there now; nothing at the end."""
        data, self._ahead = self._ahead, b""
        if not data:
            data = self._read_some(size if size >= 0 else BLOCK_BYTES)
        self.taken_bytes += len(data)
        return data

    def close(self) -> None:
        self._file.close()
        super().close()

    def _read_some(self, size: int) -> bytes:
        while not self._stopped():
            if self.ready(QUIET_S):
                return self._file.read(size) or b""
        return b""
