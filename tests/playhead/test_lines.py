from __future__ import annotations

import gzip
import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from steady import steady

from playhead.lines import BLOCK_BYTES, InputError, LineReader

LIMIT = 1_000


def numbered(path: Path, limit: int = LIMIT) -> list[tuple[int, bytes]]:
    with LineReader(str(path), max_line_bytes=limit) as reader:
        return [
            (number, line)
            for block in reader.blocks()
            for number, line in enumerate(block.lines, block.first)
        ]


@steady
@given(st.lists(st.binary(max_size=30).filter(lambda line: not set(line) & set(b"\r\n")), max_size=20))
def test_lines_come_numbered_and_without_their_ends(tmp_path: Path, lines: list[bytes]) -> None:
    path = tmp_path / "lines"
    path.write_bytes(b"".join(b"x" + line + b"\n" for line in lines))

    assert numbered(path) == [(number, b"x" + line) for number, line in enumerate(lines, 1)]


def test_the_last_line_needs_no_end_and_windows_ends_are_ends(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    path.write_bytes(b"\xef\xbb\xbfone\r\n\r\nthree")

    assert numbered(path) == [(1, b"one"), (2, b""), (3, b"three")]


@pytest.mark.parametrize("name", ["lines.gz", "no-name-at-all"])
def test_gzip_is_told_by_content(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(gzip.compress(b"one\n") + gzip.compress(b"two\n"))

    assert numbered(path) == [(1, b"one"), (2, b"two")]


def test_zstd_is_told_by_content(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    path.write_bytes(pa.compress(b"one\ntwo\n", codec="zstd", asbytes=True))

    assert numbered(path) == [(1, b"one"), (2, b"two")]


def test_a_line_beyond_the_limit_is_cut_and_counted_once(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    path.write_bytes(b"one\n" + b"x" * (3 * BLOCK_BYTES) + b"\nthree\n" + b"y" * (LIMIT + 5) + b"\nfive")

    found = numbered(path)

    assert [(number, len(line)) for number, line in found] == [
        (1, 3),
        (2, LIMIT + 1),
        (3, 5),
        (4, LIMIT + 1),
        (5, 4),
    ]


def test_lines_cross_blocks_unharmed(tmp_path: Path) -> None:
    lines = [b"%d " % number + b"x" * (number % 700) for number in range(3_000)]
    path = tmp_path / "lines"
    path.write_bytes(b"\n".join(lines))

    assert [line for _, line in numbered(path)] == lines


def test_an_empty_file_has_no_lines(tmp_path: Path) -> None:
    path = tmp_path / "empty"
    path.touch()

    assert numbered(path) == []


def test_progress_is_told_in_bytes_as_they_lie_there(tmp_path: Path) -> None:
    path = tmp_path / "lines.gz"
    path.write_bytes(gzip.compress(b"line\n" * 100_000))

    with LineReader(str(path), max_line_bytes=LIMIT) as reader:
        for _ in reader.blocks():
            pass

        assert reader.taken_bytes == reader.total_bytes == path.stat().st_size


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"PAR1....", "a Parquet file"),
        (b"PK\x03\x04....", "a zip archive"),
        (gzip.compress(os.urandom(5_000))[:2_000], "to its end"),
        (gzip.compress(os.urandom(5_000))[:1_000] + b"\0" * 4_000, "to its end"),
    ],
)
def test_what_has_no_lines_is_refused_by_name(tmp_path: Path, content: bytes, problem: str) -> None:
    path = tmp_path / "input"
    path.write_bytes(content)

    with pytest.raises(InputError, match=problem) as caught:
        numbered(path)

    assert str(path) in str(caught.value)


def test_what_cannot_be_opened_is_refused_by_name(tmp_path: Path) -> None:
    for path in (tmp_path / "missing", tmp_path):
        with pytest.raises(InputError, match=str(path)):
            numbered(path)


def test_a_quiet_pipe_gives_empty_blocks_and_ends_when_stopped() -> None:
    reading, writing = os.pipe()
    os.write(writing, b"one\ntw")
    stop = False

    with LineReader(f"/dev/fd/{reading}", max_line_bytes=LIMIT, stopped=lambda: stop) as reader:
        blocks = reader.blocks()

        assert next(blocks).lines == [b"one"]
        assert next(blocks).lines == []
        os.write(writing, b"o\n")
        assert next(blocks).lines == [b"two"]
        stop = True
        assert list(blocks) == []
    os.close(reading)
    os.close(writing)


def test_standard_input_is_read_as_a_file_is(tmp_path: Path) -> None:
    script = (
        "from playhead.lines import LineReader\n"
        "with LineReader('-', max_line_bytes=9) as reader:\n"
        "    print([line for block in reader.blocks() for line in block.lines])"
    )

    told = subprocess.run(
        [sys.executable, "-c", script], input=gzip.compress(b"one\ntwo"), capture_output=True, check=True
    )

    assert told.stdout.decode().strip() == "[b'one', b'two']"
