"""Logs: one JSON object a line for machines, lines for people, libraries included."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any, Literal

import pytest
import structlog

from config.sections import LogSettings
from playhead.logs import configure


@pytest.fixture(autouse=True)
def logging_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def settings(
    format: Literal["auto", "console", "json"] = "json",
    level: Literal["debug", "info", "warning", "error"] = "info",
) -> LogSettings:
    return LogSettings(level=level, format=format)


def objects(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    captured = capsys.readouterr()
    assert captured.out == "", "standard output is for results"
    return [json.loads(line) for line in captured.err.splitlines()]


def test_each_line_is_one_json_object(capsys: pytest.CaptureFixture[str]) -> None:
    configure(settings())

    structlog.get_logger("lane").info("partitions assigned", lane="telemetry", partitions=[0, 1])

    (line,) = objects(capsys)
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "event": "partitions assigned",
        "lane": "telemetry",
        "partitions": [0, 1],
        "level": "info",
        "logger": "lane",
    }


def test_libraries_log_in_the_same_way(capsys: pytest.CaptureFixture[str]) -> None:
    configure(settings())

    logging.getLogger("some.library").warning("connection to %s lost", "b1")

    (line,) = objects(capsys)
    assert (line["event"], line["level"], line["logger"]) == (
        "connection to b1 lost",
        "warning",
        "some.library",
    )


def test_chatty_clients_are_heard_from_warnings_on(capsys: pytest.CaptureFixture[str]) -> None:
    configure(settings(level="debug"))

    for name in ("aiokafka.consumer", "faust.app", "mode.services"):
        logging.getLogger(name).info("retrying")
        logging.getLogger(name).warning("gave up")

    assert [line["event"] for line in objects(capsys)] == ["gave up"] * 3


def test_nothing_below_the_level_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    configure(settings(level="error"))

    structlog.get_logger("a").warning("passed over")
    logging.getLogger("b").warning("passed over")
    logging.getLogger("aiokafka").warning("passed over")
    structlog.get_logger("a").error("told")

    assert [line["event"] for line in objects(capsys)] == ["told"]


@pytest.mark.parametrize("format", ["json", "console"])
def test_an_exception_is_told_with_its_traceback_and_no_values(
    capsys: pytest.CaptureFixture[str], format: Literal["console", "json"]
) -> None:
    configure(settings(format))
    secret = "0123-signing-key"

    try:
        raise ValueError(f"of {len(secret)} characters")
    except ValueError:
        structlog.get_logger("lane").exception("batch failed")

    told = capsys.readouterr().err
    assert "ValueError: of 16 characters" in told
    assert "Traceback" in told
    assert secret not in told.replace('secret = "0123-signing-key"', "")
    if format == "json":
        assert len(told.splitlines()) == 1


def test_what_json_does_not_know_is_told_all_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    configure(settings())

    structlog.get_logger("lane").info("odd", value=object(), key=b"\xff")

    (line,) = objects(capsys)
    assert "object object at" in line["value"]


def test_off_a_terminal_the_format_is_json(capsys: pytest.CaptureFixture[str]) -> None:
    configure(settings("auto"))

    structlog.get_logger("lane").info("started")

    assert objects(capsys)[0]["event"] == "started"
