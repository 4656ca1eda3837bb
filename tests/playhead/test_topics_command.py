"""`playhead topics`, as far as it needs no broker."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest
from command_line import CommandLine

from playhead.cli import topics_command
from topics import ALL, BY_NAME
from topics.evolution import LOCK_FILE, agreed, lock_of

playhead = CommandLine({})


def test_every_topic_is_listed() -> None:
    listed = playhead("topics", "list").stdout

    for spec in ALL:
        assert spec.name in listed
        assert spec.describes in listed


def test_a_script_gets_a_line_for_each_topic() -> None:
    rows = playhead.json("topics", "list")

    assert [row["name"] for row in rows] == [spec.name for spec in ALL]
    assert rows[0]["producers"] == list(ALL[0].producers)


@pytest.mark.parametrize("name", BY_NAME)
def test_a_contract_is_shown_with_its_fields_and_an_example(name: str) -> None:
    shown = playhead("topics", "show", name)

    assert shown.exit_code == 0
    for part in (BY_NAME[name].describes, BY_NAME[name].key, *BY_NAME[name].value.__struct_fields__):
        assert part in shown.stdout
    example = shown.stdout[shown.stdout.index("\n{\n") :]
    assert json.loads(example)["time_ms"]


def test_bounds_and_meanings_of_fields_are_shown() -> None:
    lines = playhead("topics", "show", "playback").stdout.splitlines()

    assert ["play_ms", "integer,", "0", "to", "604800000", "0"] in [line.split() for line in lines]
    assert any(
        "bitrate_kbps" in line and "Encoded bitrate of the rendition on screen" in line for line in lines
    )


def test_a_script_gets_schema_and_examples() -> None:
    [shown] = playhead.json("topics", "show", "telemetry")

    assert set(shown["schema"]["$defs"]["Sample"]["properties"]) >= {"time_ms", "service", "metric", "value"}
    assert shown["packed"]
    assert shown["examples"]


def test_a_topic_that_no_contract_names_is_told_with_those_there_are() -> None:
    result = playhead("topics", "show", "telemetri")

    assert result.exit_code == 2
    assert f"there is no topic 'telemetri'; there are {', '.join(BY_NAME)}" in result.stderr


def test_asyncapi_goes_to_standard_output_or_a_file(tmp_path: Path) -> None:
    file = tmp_path / "asyncapi.json"

    printed = playhead("topics", "asyncapi").stdout
    playhead("topics", "asyncapi", "-o", str(file))

    assert json.loads(printed)["asyncapi"] == "3.0.0"
    assert file.read_text(encoding="utf-8") == printed


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    result = playhead("topics", "asyncapi", "-o", str(tmp_path / "no" / "such.json"))

    assert result.exit_code == 3
    assert "such.json: cannot be written (No such file or directory)" in result.stderr


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for the lock in place of the contracts' own."""
    monkeypatch.setattr(topics_command.topics, "__file__", str(tmp_path / "__init__.py"))
    return tmp_path


def test_the_lock_is_written_as_the_contracts_are(package: Path) -> None:
    result = playhead("topics", "lock")

    assert result.exit_code == 0
    assert msgspec.json.decode((package / LOCK_FILE).read_bytes()) == lock_of(ALL)


def test_a_change_that_breaks_is_not_locked_unless_accepted(
    package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_more = agreed() | {"gone": agreed()["viewing"]}
    monkeypatch.setattr(topics_command, "agreed", lambda: with_more)

    refused = playhead("topics", "lock")
    assert refused.exit_code == 1
    assert "breaks  gone: the topic was removed" in refused.stdout
    assert "--accept-breaking" in refused.stderr
    assert not (package / LOCK_FILE).exists()

    accepted = playhead("topics", "lock", "--accept-breaking")
    assert accepted.exit_code == 0
    assert (package / LOCK_FILE).exists()
