"""What the spool acknowledged is read back, in order, whatever happens to the process."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import config
from config.cmcd import SpoolSettings
from playhead.gateway.spool import Position, Spool, SpoolFullError, SpoolInUseError

FIGURES = config.load({}).settings.cmcd.spool
SMALL = FIGURES.model_copy(update={"segment_bytes": 200, "chunk_bytes": 60, "max_bytes": 2_000})


def opened(folder: Path, figures: SpoolSettings = SMALL) -> Spool:
    return Spool(folder, figures)


def die(spool: Spool) -> None:
    """Let go of the folder as a killed process does: nothing more is written."""
    spool._lock_file.close()


def drained(spool: Spool, at: Position | None = None) -> list[bytes]:
    payloads: list[bytes] = []
    chunk = spool.read(at or spool.cursor)
    while chunk.payloads:
        payloads += chunk.payloads
        chunk = spool.read(chunk.end)
    return payloads


def newest(folder: Path) -> Path:
    return max(path for path in folder.glob("*.frames") if path.stat().st_size)


def test_frames_come_back_in_order_over_segments_and_chunks(tmp_path: Path) -> None:
    spool = opened(tmp_path)
    sent = [b"%d" % n * (n % 40) for n in range(40)]

    for payload in sent:
        spool.append([payload])

    assert drained(spool) == sent
    assert len(list(tmp_path.glob("*.frames"))) > 3
    spool.close()


def test_a_killed_process_loses_nothing_and_its_torn_frame_is_passed_over(tmp_path: Path) -> None:
    spool = opened(tmp_path)
    spool.append([b"one", b"two"])
    die(spool)
    with newest(tmp_path).open("ab") as file:
        file.write(b"\0\0\0\x20torn")

    again = opened(tmp_path)
    again.append([b"three"])

    assert drained(again) == [b"one", b"two", b"three"]
    assert again.skipped_bytes == 8
    again.close()


def test_a_damaged_frame_costs_itself_and_no_other(tmp_path: Path) -> None:
    spool = opened(tmp_path)
    spool.append([b"one", b"two", b"six"])
    die(spool)
    path = newest(tmp_path)
    path.write_bytes(path.read_bytes().replace(b"two", b"tvo"))

    again = opened(tmp_path)

    assert drained(again) == [b"one", b"six"]
    assert again.skipped_bytes == 11
    again.close()


def test_what_is_released_is_not_read_again_and_takes_no_room(tmp_path: Path) -> None:
    spool = opened(tmp_path)
    for number in range(30):
        spool.append([b"frame %d" % number])
    chunk = spool.read(spool.cursor)
    while chunk.payloads and chunk.payloads[-1] != b"frame 29":
        spool.release(chunk.end)
        chunk = spool.read(chunk.end)
    left = list(chunk.payloads)
    spool.save_cursor()
    die(spool)

    again = opened(tmp_path)

    assert drained(again) == left
    assert again.size_bytes < SMALL.segment_bytes
    assert again.waiting_bytes > 0
    again.release(again.read(again.cursor).end)
    assert again.waiting_bytes == 0
    again.close()


def test_a_cursor_that_was_not_saved_means_twice_and_never_not_at_all(tmp_path: Path) -> None:
    spool = opened(tmp_path)
    spool.append([b"one"])
    spool.release(spool.read(spool.cursor).end)
    die(spool)

    again = opened(tmp_path)

    assert drained(again) == [b"one"]
    again.close()


def test_a_cursor_that_cannot_be_read_means_all_again(tmp_path: Path) -> None:
    spool = opened(tmp_path)
    spool.append([b"one"])
    spool.release(spool.read(spool.cursor).end)
    spool.close()
    (tmp_path / "cursor").write_bytes(b"{")

    again = opened(tmp_path)

    assert drained(again) == [b"one"]
    again.close()


def test_a_full_spool_takes_nothing_until_some_is_released(tmp_path: Path) -> None:
    spool = opened(tmp_path)
    while spool.size_bytes + 88 <= SMALL.max_bytes:
        spool.append([b"x" * 80])

    with pytest.raises(SpoolFullError, match="2000 bytes are taken"):
        spool.append([b"x" * 80])

    assert len(drained(spool)) == 2_000 // 88
    chunk = spool.read(spool.cursor)
    while chunk.payloads:
        spool.release(chunk.end)
        chunk = spool.read(chunk.end)
    spool.append([b"again"])
    spool.close()


def test_a_disk_that_takes_no_more_leaves_no_half_frame(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = opened(tmp_path)
    spool.append([b"one"])

    def half(descriptor: int, data: bytes) -> int:
        if len(data) < 8:
            raise OSError(28, "No space left on device")
        return real(descriptor, data[: len(data) // 2])

    real = os.write
    monkeypatch.setattr(os, "write", half)
    with pytest.raises(SpoolFullError, match="No space left"):
        spool.append([b"two and more"])
    monkeypatch.undo()
    spool.append([b"three"])

    assert drained(spool) == [b"one", b"three"]
    spool.close()


def test_two_gateways_cannot_share_a_spool(tmp_path: Path) -> None:
    spool = opened(tmp_path)

    with pytest.raises(SpoolInUseError, match="PLAYHEAD_CMCD__SPOOL__FOLDER"):
        opened(tmp_path)

    spool.close()
    opened(tmp_path).close()


STEPS = st.lists(
    st.one_of(
        st.lists(st.binary(max_size=90), min_size=1, max_size=4),
        st.sampled_from(["read", "release", "save", "die", "tear"]),
    ),
    max_size=30,
)


@given(steps=STEPS)
@settings(derandomize=True, deadline=None, max_examples=60)
def test_whatever_happens_all_that_was_acknowledged_is_read_from_the_saved_cursor_on(
    tmp_path_factory: pytest.TempPathFactory, steps: list[list[bytes] | str]
) -> None:
    folder = tmp_path_factory.mktemp("spool")
    spool = opened(folder, SMALL.model_copy(update={"max_bytes": 1_000_000}))
    acknowledged: list[bytes] = []
    released = saved = 0
    at, read = spool.cursor, 0
    for step in steps:
        if isinstance(step, list):
            spool.append(step)
            acknowledged += step
        elif step == "read":
            chunk = spool.read(at)
            assert chunk.payloads == acknowledged[read : read + len(chunk.payloads)]
            at, read = chunk.end, read + len(chunk.payloads)
        elif step == "release":
            spool.release(at)
            released = read
        elif step == "save":
            spool.save_cursor()
            saved = released
        else:
            die(spool)
            if step == "tear":
                with max(folder.glob("*.frames")).open("ab") as file:
                    file.write(b"\0\0\0\x10\1\2\3\4half")
            spool = opened(folder, SMALL.model_copy(update={"max_bytes": 1_000_000}))
            at = spool.cursor
            found = drained(spool)
            assert found == acknowledged[len(acknowledged) - len(found) :]
            assert len(acknowledged) - len(found) <= released
            read = released = len(acknowledged) - len(found)
            saved = min(saved, released)
    assert drained(spool, at) == acknowledged[read:]
    spool.close()
