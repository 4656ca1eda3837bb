"""Records of a compacted topic on disk, to be served at a start without the broker.

A file of JSON lines, written anew from the topic at each start and appended to afterwards; a key that was
deleted is a line of its own. What a crash tears is the last line, and it is passed over.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import IO, Generic, TypeVar

import msgspec
import structlog

from topics.errors import ContractError
from topics.fields import Record
from topics.spec import TopicSpec

R = TypeVar("R", bound=Record)

log = structlog.get_logger(__name__)


class KeptRecords(Generic[R]):
    """Keeps the records of `spec` in `path`. All methods but `load` are called by one thread.

    Args:
        spare_lines: the file is written anew once it has so many lines more than twice what it tells.
    """

    def __init__(self, spec: TopicSpec[R], path: Path, spare_lines: int) -> None:
        self._spec = spec
        self._path = path
        # Of this process: two that share a folder must not write into one file.
        self._partial = path.with_suffix(f".{os.getpid()}.partial")
        self._spare_lines = spare_lines
        self._file: IO[bytes] | None = None
        self._lines = 0
        self._told = 0
        self._whole = False
        self._failed = False

    def load(self) -> dict[str, R]:
        """Return what was kept, by key; nothing where there is no file."""
        kept: dict[str, R] = {}
        try:
            lines = self._path.read_bytes().splitlines()
        except OSError:
            return kept
        for line in lines:
            try:
                if line.startswith(b'"'):
                    kept.pop(msgspec.json.decode(line, type=str), None)
                else:
                    record = self._spec.decode(line)
                    kept[self._spec.key_of(record)] = record
            except (ContractError, msgspec.MsgspecError) as error:
                log.warning("kept record passed over", file=str(self._path), reason=str(error))
        return kept

    def add(self, key: str, record: R | None) -> None:
        """Keep `record`, or that there is none of `key` any more."""
        self._guard(
            lambda: self._append(msgspec.json.encode(key) if record is None else self._spec.encode(record))
        )

    def whole(self, records: Callable[[], Iterable[R]]) -> None:
        """All that the topic has was added: from now on this is what a start is given.

        Args:
            records: gives what there is, for when the file is to be written anew.
        """
        self._records = records
        self._told = len(list(records()))
        self._whole = True
        self._guard(self._put_in_place)

    def close(self) -> None:
        """Write what has been added; a file that is not whole leaves the one before in place."""
        if self._file is not None:
            self._guard(self._file.close)
            self._file = None

    def _append(self, line: bytes) -> None:
        if self._file is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self._partial.open("wb")
        self._file.write(line + b"\n")
        self._lines += 1
        if self._whole:
            self._file.flush()
            self._rewrite_if_long()

    def _rewrite_if_long(self) -> None:
        if self._lines <= 2 * self._told + self._spare_lines or self._file is None:
            return
        records = list(self._records())
        self._file.close()
        self._file, self._lines = self._partial.open("wb"), 0
        for record in records:
            self._file.write(self._spec.encode(record) + b"\n")
            self._lines += 1
        self._told = len(records)
        self._put_in_place()

    def _put_in_place(self) -> None:
        if self._file is None:  # the topic is empty
            self._path.unlink(missing_ok=True)
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self._partial.open("wb")
        self._file.flush()
        self._partial.replace(self._path)

    def _guard(self, write: Callable[[], object]) -> None:
        """A disk that is full must not stop answers; it is told once, until it is written to again."""
        try:
            write()
        except OSError as error:
            if not self._failed:
                log.error("answers are not kept on disk", file=str(self._path), error=str(error))
            self._failed = True
        else:
            self._failed = False
