"""Templates of messages: JSON whose texts have names in braces.

A template is read as JSON first and filled in afterwards, text by text, so that nothing an incident says can
break out of its place. ``"{viewers}"`` alone becomes the value itself, a number here; ``{summary:slack}`` is
escaped as Slack wants it. An object with ``"?"`` stays only if that is not empty when filled in.

PlayheadError
└── TemplateError   a template that cannot be used; exit code 2
"""

from __future__ import annotations

import json
import re
import string
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from topics.errors import PlayheadError

BUILT_IN = ("webhook", "slack", "pagerduty")
CONDITION = "?"
_GONE = object()
_ALONE = re.compile(r"\{(\w+)\}")


class TemplateError(PlayheadError):
    """A template that cannot be used: the text names file, place, and what there is."""

    exit_code = 2


class Template:
    """A message to be.

    Args:
        name: where it comes from, for errors.
        shape: the JSON as it was read.
    """

    def __init__(self, name: str, shape: Any) -> None:
        self._name = name
        self._shape = shape

    def fill(self, fields: Mapping[str, Any]) -> Any:
        """Return the message about `fields`.

        Raises:
            TemplateError: it names a field that there is not.

        Example:
            >>> shape = [{"?": "{owner}", "text": "{owner} has it"}, {"?": "{impact}", "n": "{viewers}"}]
            >>> Template("example", shape).fill({"owner": "", "impact": "about 5 viewers", "viewers": 5.0})
            [{'n': 5.0}]
        """
        return self._filled(self._shape, fields)

    def _filled(self, shape: Any, fields: Mapping[str, Any]) -> Any:
        if isinstance(shape, str):
            return self._text(shape, fields)
        if isinstance(shape, list):
            return [each for each in (self._filled(item, fields) for item in shape) if each is not _GONE]
        if isinstance(shape, dict):
            if CONDITION in shape and not self._text(shape[CONDITION], fields):
                return _GONE
            filled = {key: self._filled(value, fields) for key, value in shape.items() if key != CONDITION}
            return {key: value for key, value in filled.items() if value is not _GONE}
        return shape

    def _text(self, text: str, fields: Mapping[str, Any]) -> Any:
        alone = _ALONE.fullmatch(text)
        try:
            return fields[alone[1]] if alone else _FORMATTER.vformat(text, (), fields)
        except (KeyError, IndexError) as error:
            known = ", ".join(sorted(fields))
            raise TemplateError(f"{self._name}: {text!r} names {error}, there are {known}") from error
        except ValueError as error:
            raise TemplateError(f"{self._name}: {text!r}: {error}") from error


class _Formatter(string.Formatter):
    """Formats as `str.format` does, and escapes for Slack."""

    def get_field(self, field_name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        return kwargs[field_name], field_name  # no attributes and no items: names only

    def format_field(self, value: Any, format_spec: str) -> str:
        if format_spec == "slack":
            return str(value).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        return str(super().format_field(value, format_spec))


_FORMATTER = _Formatter()


def load_template(name: str) -> Template:
    """Return the template of that name, or of that file.

    Raises:
        TemplateError: there is none, or it is no JSON.
    """
    if name in BUILT_IN:
        file = resources.files("playhead.notify").joinpath("templates", f"{name}.json")
        return Template(name, json.loads(file.read_text(encoding="utf-8")))
    try:
        return Template(name, json.loads(Path(name).read_text(encoding="utf-8")))
    except OSError as error:
        built_in = ", ".join(BUILT_IN)
        raise TemplateError(
            f"template {name!r} is none of {built_in} and no file that can be read ({error.strerror})"
        ) from error
    except ValueError as error:
        raise TemplateError(f"template {name}: not JSON: {error}") from error
