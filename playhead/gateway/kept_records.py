"""Records of a compacted topic on disk, to be served at a start without the broker.

A file of JSON lines, each a key and its record, written anew from the topic once that has been read. Changes
are appended to it, a key that was deleted with null; where there are too many of them, the file is written
anew from time to time instead. What a crash tears is the last line, and it is passed over.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Generic, TypeVar

import msgspec
import structlog

from topics.errors import ContractError
from topics.fields import Record
from topics.spec import TopicSpec

R = TypeVar("R", bound=Record)

log = structlog.get_logger(__name__)

_LINE = msgspec.json.Decoder(tuple[str, msgspec.Raw])
_NULL = b"null"


class Loaded(Mapping[str, R]):
    """What was on disk, by key. A record is decoded when it is first asked for.

    Of a large catalogue few titles are asked for before the topic has been read, and a start has to wait for
    whatever is done to all of them.
    """

    def __init__(self, spec: TopicSpec[R], lines: dict[str, msgspec.Raw]) -> None:
        self._spec = spec
        self._records: dict[str, R | msgspec.Raw | None] = {**lines}
        """None: of a contract that there was before."""

    def __getitem__(self, key: str) -> R:
        found = self._records[key]
        if isinstance(found, msgspec.Raw):
            try:
                found = self._spec.decode(bytes(found))
            except ContractError as error:
                log.warning("kept record passed over", topic=self._spec.name, key=key, reason=str(error))
                found = None
            self._records[key] = found
        if found is None:
            raise KeyError(key)
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(self._records)

    def __len__(self) -> int:
        return len(self._records)


class KeptRecords(Generic[R]):
    """Keeps the records of `spec` in `path`. All methods but `load` are called by one thread at a time.

    Args:
        spare_lines: the file is written anew once it has so many lines more than twice what it tells; None:
            changes come too often to be appended.
        every_s: the least time between two writings of a file that is not appended to, because it is not
            meant to be or because the disk refused.
    """

    def __init__(
        self, spec: TopicSpec[R], path: Path, *, spare_lines: int | None = None, every_s: float
    ) -> None:
        self._spec = spec
        self._path = path
        # Of this process: two that share a folder must not write into one file.
        self._partial = path.with_suffix(f".{os.getpid()}.partial")
        self._spare_lines = spare_lines
        self._every_s = every_s
        self._records: Callable[[], Iterable[R]] | None = None
        self._file: IO[bytes] | None = None
        """Open while it is appended to."""
        self._written_at_s = 0.0
        self._lines = 0
        self._lines_most = 0
        self._failed = False

    def load(self) -> Loaded[R]:
        """Return what was kept; nothing where there is no file."""
        kept: dict[str, msgspec.Raw] = {}
        bad = 0
        try:
            with self._path.open("rb") as lines:
                for line in lines:
                    try:
                        key, record = _LINE.decode(line)
                    except (msgspec.MsgspecError, UnicodeDecodeError):
                        bad += 1
                        continue
                    if bytes(record) == _NULL:
                        kept.pop(key, None)
                    else:
                        kept[key] = record
        except FileNotFoundError:
            pass
        except OSError as error:
            log.error("what was kept on disk cannot be read", file=str(self._path), error=str(error))
        if bad:
            log.warning("kept lines passed over", file=str(self._path), lines=bad)
        return Loaded(self._spec, kept)

    def whole(self, records: Callable[[], Iterable[R]]) -> None:
        """The topic has been read: from now on this is what a start is given.

        Args:
            records: gives what there is, whenever the file is to be written anew.
        """
        self._records = records
        self._guard(self._write_anew)

    def add(self, key: str, record: R | None) -> None:
        """Keep `record`, or that there is none of `key` any more; before `whole` there is no need to."""
        if self._records is None:
            return
        if self._file is not None:
            self._guard(lambda: self._append(key, record))
        elif time.monotonic() - self._written_at_s >= self._every_s:
            self._guard(self._write_anew)

    def close(self) -> None:
        """Write what has not been written; while the topic has not been read, what was kept before stays."""
        if self._file is not None:
            self._guard(self._file.close)
            self._file = None
        elif self._records is not None:
            self._guard(self._write_anew)
            self._drop()
        self._records = None

    def _append(self, key: str, record: R | None) -> None:
        assert self._file is not None
        self._file.write(msgspec.json.encode((key, record)) + b"\n")
        self._file.flush()
        self._lines += 1
        if self._lines > self._lines_most:
            self._write_anew()

    def _write_anew(self) -> None:
        assert self._records is not None
        self._written_at_s = time.monotonic()
        self._drop()
        records = list(self._records())
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self._partial.open("wb")
        for record in records:
            self._file.write(msgspec.json.encode((self._spec.key_of(record), record)) + b"\n")
        self._file.flush()
        self._partial.replace(self._path)
        self._lines = len(records)
        if self._spare_lines is None:
            self._drop()
        else:
            self._lines_most = 2 * len(records) + self._spare_lines

    def _drop(self) -> None:
        if self._file is not None:
            with suppress(OSError):  # on a full disk, what could not be written
                self._file.close()
            self._file = None

    def _guard(self, write: Callable[[], object]) -> None:
        """A disk that is full must not stop answers; it is told once, until it is written to again."""
        try:
            write()
        except OSError as error:
            self._drop()
            with suppress(OSError):  # half a file must not fill the disk
                self._partial.unlink(missing_ok=True)
            if not self._failed:
                log.error("records are not kept on disk", file=str(self._path), error=str(error))
            self._failed = True
        else:
            self._failed = False
