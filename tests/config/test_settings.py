"""Settings: three layers, later ones winning, and every mistake told with where it is."""

from __future__ import annotations

import tomllib
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from config import ConfigError, Loaded, load
from config.settings import DEFAULT_FILES, READ_ELSEWHERE


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "mine.toml"


def with_file(file: Path, text: str | bytes, **environment: str) -> Loaded:
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return load({"PLAYHEAD_CONFIG": str(file), **environment}, file.parent)


def refusal(environment: dict[str, str], folder: Path = Path("/nowhere")) -> str:
    with pytest.raises(ConfigError) as caught:
        load(environment, folder)
    return str(caught.value)


def file_refusal(file: Path, text: str | bytes) -> str:
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return refusal({"PLAYHEAD_CONFIG": str(file)})


def leaves(table: dict[str, Any], at: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in table.items():
        found |= leaves(value, f"{at}{name}.") if isinstance(value, dict) else {f"{at}{name}": value}
    return found


# -- layers -----------------------------------------------------------------------------------------------


def test_every_value_comes_from_a_default_file_where_nothing_else_is_said(tmp_path: Path) -> None:
    loaded = load({}, tmp_path)
    written = {
        name: file
        for file in DEFAULT_FILES
        for name in leaves(tomllib.loads(resources.files("config").joinpath(file).read_text()))
    }

    assert loaded.origins == written
    assert set(leaves(loaded.settings.model_dump())) == set(written)


def test_no_section_holds_a_figure_of_its_own() -> None:
    defaults = [
        f"{section}.{name}"
        for section, info in load({}).settings.__class__.model_fields.items()
        for name, field in getattr(info.annotation, "model_fields", {}).items()
        if not field.is_required()
    ]

    assert defaults == []


def test_a_file_wins_over_the_defaults_and_the_environment_over_the_file(file: Path) -> None:
    loaded = with_file(
        file, "[qoe]\nwindow_s = 5\nmin_viewers = 3", PLAYHEAD_QOE__WINDOW_S="7", PLAYHEAD_PREFIX="trial."
    )

    assert (loaded.settings.qoe.window_s, loaded.origins["qoe.window_s"]) == (7, "PLAYHEAD_QOE__WINDOW_S")
    assert (loaded.settings.qoe.min_viewers, loaded.origins["qoe.min_viewers"]) == (3, str(file))
    assert (loaded.settings.prefix, loaded.origins["prefix"]) == ("trial.", "PLAYHEAD_PREFIX")
    assert loaded.origins["qoe.lateness_s"] == "default.toml"


def test_playhead_toml_of_the_folder_is_read(tmp_path: Path) -> None:
    (tmp_path / "playhead.toml").write_text("[log]\nlevel = 'debug'")

    loaded = load({}, tmp_path)

    assert loaded.settings.log.level == "debug"
    assert loaded.origins["log.level"] == str(tmp_path / "playhead.toml")


def test_a_file_named_by_the_environment_is_read_in_place_of_the_folders(file: Path) -> None:
    (file.parent / "playhead.toml").write_text("[log]\nlevel = 'debug'")

    assert with_file(file, "").settings.log.level == "info"


def test_a_list_is_written_as_json_in_the_environment() -> None:
    loaded = load({"PLAYHEAD_QOE__DIMENSIONS": '["cdn", "isp"]'})

    assert loaded.settings.qoe.dimensions == ("cdn", "isp")


def test_an_empty_variable_says_an_empty_text() -> None:
    loaded = load({"PLAYHEAD_BROKERS": ""})

    assert (loaded.settings.brokers, loaded.origins["brokers"]) == ("", "PLAYHEAD_BROKERS")


def test_variables_of_others_are_none_of_our_business() -> None:
    others = {f"PLAYHEAD_{name}": "9" for name in READ_ELSEWHERE - {"CONFIG"}}

    assert load({"PATH": "/bin", "QOE__WINDOW_S": "1", "PLAYHEADS": "2"} | others) == load({})


def test_settings_are_frozen() -> None:
    settings = load({}).settings

    with pytest.raises(ValidationError):
        settings.prefix = "other."
    with pytest.raises(ValidationError):
        settings.qoe.window_s = 1.0


# -- mistakes in the environment --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("PLAYHEAD_QOE__WINDOW_S", "soon", "'soon': expected a valid number"),
        ("PLAYHEAD_QOE__WINDOW_S", "", "'': expected a valid number"),
        ("PLAYHEAD_QOE__WINDOW_S", "-1", "'-1': expected greater than 0"),
        ("PLAYHEAD_QOE__WINDOW_S", "nan", "'nan': expected a finite number"),
        ("PLAYHEAD_QOE__WINDOW_S", "inf", "'inf': expected a finite number"),
        ("PLAYHEAD_QOE__STALLED_RATIO_RISE", "1.5", "'1.5': expected less than or equal to 1"),
        ("PLAYHEAD_ENGINE__WEB_PORT", "1.5", "'1.5': expected a valid integer"),
        ("PLAYHEAD_ENGINE__WEB_PORT", "70000", "'70000': expected less than or equal to 65535"),
        ("PLAYHEAD_LOG__LEVEL", "loud", "'loud': expected 'debug', 'info', 'warning' or 'error'"),
        ("PLAYHEAD_PREFIX", "my run/", "'my run/': expected text that matches '^[A-Za-z0-9._-]*$'"),
        ("PLAYHEAD_QOE__DIMENSIONS", "5", "5: expected a list"),
    ],
)
def test_a_variable_that_cannot_be_used_is_told_with_its_value_and_what_is_expected(
    name: str, value: str, says: str
) -> None:
    assert refusal({name: value}) == f"{name} = {says}"


def test_a_wrong_item_of_a_list_is_told_with_its_place() -> None:
    assert refusal({"PLAYHEAD_QOE__DIMENSIONS": '["cdn", 2]'}) == (
        "PLAYHEAD_QOE__DIMENSIONS[1] = 2: expected text"
    )


@pytest.mark.parametrize("value", ["cdn,isp", '["cdn"', ""])
def test_a_list_that_is_no_json_is_told_with_an_example(value: str) -> None:
    assert refusal({"PLAYHEAD_QOE__DIMENSIONS": value}).startswith(
        f"""PLAYHEAD_QOE__DIMENSIONS = {value!r}: expected JSON, such as ["a", "b"]"""
    )


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("PLAYHEAD_BROKER", "there is no setting 'broker'; there are brokers, redis_url"),
        ("PLAYHEAD_QEO__WINDOW_S", "there is no setting 'qeo'; there are brokers"),
        ("PLAYHEAD_QOE__WINDOW", "[qoe] has no 'window'; there are window_s, slide_s, lateness_s"),
        ("PLAYHEAD_QOE__WINDOW_S__MS", "qoe.window_s is a single value, set by PLAYHEAD_QOE__WINDOW_S"),
        ("PLAYHEAD_QOE", "is a section; set its values by PLAYHEAD_QOE__WINDOW_S and so on"),
    ],
)
def test_a_misspelt_variable_is_told_with_what_there_is(name: str, says: str) -> None:
    assert refusal({name: "1"}).startswith(f"{name}: {says}")


# -- mistakes in a file -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[qoe]\nwindow_s = 'x'", "qoe.window_s = 'x': expected a valid number"),
        ("[qoe]\nwindow_s = nan", "qoe.window_s = nan: expected a finite number"),
        ("[qoe]\nwindow_s = -1", "qoe.window_s = -1: expected greater than 0"),
        (
            "[qoe]\nwindow_s = 1\nslide_s = 0.3",
            "qoe.slide_s = 0.3: expected 0, or whole milliseconds that window_s, 1.0, is a multiple of",
        ),
        ("[qoe]\ncohorts = [['cdn'], 'isp']", "qoe.cohorts.1 = 'isp': expected a list"),
        ("qoe = 5", "qoe = 5: expected a table"),
        ("prefix = 5", "prefix = 5: expected text"),
        ("[brokers]\nhost = 'h'", "brokers = {'host': 'h'}: expected text"),
        (
            "[qoe]\nwindo_s = 5",
            "qoe.windo_s: there is no such setting; `playhead config show` lists them all",
        ),
        ("[qeo]\nwindow_s = 5", "qeo: there is no such setting; `playhead config show` lists them all"),
        ("window_s = 5", "window_s: there is no such setting; `playhead config show` lists them all"),
        ("[qoe\n", "not TOML: Expected ']' at the end of a table declaration (at line 1, column 5)"),
        (b"\xff\xfe", "not TOML: 'utf-8' codec can't decode byte 0xff in position 0: invalid start byte"),
    ],
)
def test_a_mistake_in_a_file_is_told_with_file_name_and_value(
    file: Path, text: str | bytes, says: str
) -> None:
    assert file_refusal(file, text) == f"{file}: {says}"


def test_all_mistakes_are_told_at_once(file: Path) -> None:
    told = file_refusal(file, "[qoe]\nwindow_s = -1\nmin_viewers = 'few'").splitlines()

    assert told == [
        f"{file}: qoe.window_s = -1: expected greater than 0",
        f"{file}: qoe.min_viewers = 'few': expected a valid number",
    ]


def test_a_table_in_a_list_that_lacks_a_value_is_told(file: Path) -> None:
    assert f"{file}: detection.metrics.0.kind: is missing" in file_refusal(
        file, "[[detection.metrics]]\npattern = '*'"
    )


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    missing = tmp_path / "missing.toml"

    assert refusal({"PLAYHEAD_CONFIG": str(missing)}) == (
        f"{missing}: cannot be read (No such file or directory); check PLAYHEAD_CONFIG"
    )


def test_a_folder_in_place_of_a_file_is_named(tmp_path: Path) -> None:
    assert refusal({"PLAYHEAD_CONFIG": str(tmp_path)}) == (
        f"{tmp_path}: cannot be read (Is a directory); check PLAYHEAD_CONFIG"
    )
