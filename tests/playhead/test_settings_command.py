"""`playhead config show`."""

from __future__ import annotations

from pathlib import Path

from command_line import CommandLine

from config import load
from config.settings import DEFAULT_FILES


def test_every_setting_is_shown_with_where_it_came_from() -> None:
    rows = CommandLine({"PLAYHEAD_QOE__WINDOW_S": "30"}).json("config", "show")

    by_name = {row["name"]: row for row in rows}
    assert set(by_name) == set(load({}).origins)
    assert by_name["qoe.window_s"] == {
        "name": "qoe.window_s",
        "value": 30.0,
        "origin": "PLAYHEAD_QOE__WINDOW_S",
    }
    assert {row["origin"] for row in rows} == {*DEFAULT_FILES, "PLAYHEAD_QOE__WINDOW_S"}


def test_a_person_sees_name_value_and_origin_on_a_line(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text("prefix = 'trial.'")

    shown = CommandLine({"PLAYHEAD_CONFIG": str(file)})("config", "show").stdout

    assert ["prefix", "trial.", str(file)] in [line.split() for line in shown.splitlines()]


def test_lists_are_shown_with_their_brackets() -> None:
    shown = CommandLine({"PLAYHEAD_QOE__DIMENSIONS": '["cdn"]'})("config", "show").stdout

    assert "['cdn']" in shown


def test_secrets_are_hidden() -> None:
    playhead = CommandLine(
        {
            "PLAYHEAD_ACTORS__SIGNING_KEY": "swordfish",
            "PLAYHEAD_REDIS_URL": "redis://ada:swordfish@cache:6379/0",
        }
    )

    for result in (playhead("config", "show"), playhead("config", "show", "--json")):
        assert result.exit_code == 0
        assert "swordfish" not in result.output
        assert "redis://ada:****@cache:6379/0" in result.output


def test_a_mistake_is_told_with_code_2() -> None:
    result = CommandLine({"PLAYHEAD_QOE__WINDOW_S": "soon"})("config", "show")

    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr == "error: PLAYHEAD_QOE__WINDOW_S = 'soon': expected a valid number\n"


def test_brackets_of_a_mistake_are_shown() -> None:
    result = CommandLine({"PLAYHEAD_QOE__WINDOW": "1"})("config", "show")

    assert "[qoe] has no 'window'" in result.stderr
