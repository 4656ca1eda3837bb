"""All settings, read once, frozen, passed on.

Three layers, later ones winning: the TOML files of this package, one of the user's, the environment.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, get_args

from pydantic import ConfigDict, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsError,
)

from config import sections
from config.demo import DemoSettings
from config.detection import DetectionSettings, EnsembleSettings
from config.errors import ConfigError
from config.localisation import LocalisationFigures

PREFIX = "PLAYHEAD_"
NESTING = "__"
USER_FILE = "playhead.toml"
DEFAULT_FILES = ("default.toml", "detection.toml", "localisation.toml", "demo.toml")
"""The figures of this package, by subject."""


class Settings(BaseSettings):
    """Everything that can be set, by section."""

    model_config = ConfigDict(frozen=True, extra="forbid")  # type: ignore[assignment]

    brokers: str
    redis_url: str
    prefix: str
    data_dir: str
    log: sections.LogSettings
    kafka: sections.KafkaSettings
    engine: sections.EngineSettings
    detection: DetectionSettings
    ensemble: EnsembleSettings
    qoe: sections.QoeSettings
    localisation: LocalisationFigures
    segments: sections.SegmentSettings
    incidents: sections.IncidentSettings
    policy: sections.PolicySettings
    actors: sections.ActorSettings
    preferences: sections.PreferenceSettings
    cache: sections.CacheSettings
    experiments: sections.ExperimentSettings
    demo: DemoSettings

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        *_: PydanticBaseSettingsSource,
        **__: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take only what `load` hands over: it merges the layers itself, to know each value's origin."""
        return (init_settings,)


@dataclass(frozen=True, slots=True)
class Loaded:
    """The settings, and for each dotted name the layer its value came from."""

    settings: Settings
    origins: dict[str, str]


def load(environment: Mapping[str, str], folder: Path | None = None) -> Loaded:
    """Return the settings that `environment` and the user's file in `folder` ask for.

    Raises:
        ConfigError: a file that cannot be read, an unknown name, a value of the wrong type or out of bounds;
            the text names variable or file, value and what was expected.

    Example:
        >>> load({}).settings.qoe.window_s
        60.0
        >>> load({"PLAYHEAD_QOE__WINDOW_S": "30"}).origins["qoe.window_s"]
        'PLAYHEAD_QOE__WINDOW_S'
        >>> load({"PLAYHEAD_QOE__WINDOW_S": "soon"})
        Traceback (most recent call last):
        ...
        config.errors.ConfigError: PLAYHEAD_QOE__WINDOW_S = 'soon': expected a valid number
    """
    layers = [(name, _read_default(name)) for name in DEFAULT_FILES]
    user_file = _user_file(environment, folder or Path.cwd())
    if user_file is not None:
        layers.append((str(user_file), _read_user(user_file)))
    layers.append(("environment", _read_environment(environment)))
    merged: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for origin, values in layers:
        _merge(merged, values, origin, origins)
    try:
        return Loaded(Settings(**merged), origins)
    except ValidationError as error:
        raise ConfigError(_explain(error, origins)) from error


def _read_default(name: str) -> dict[str, Any]:
    return tomllib.loads(resources.files("config").joinpath(name).read_text(encoding="utf-8"))


def _user_file(environment: Mapping[str, str], folder: Path) -> Path | None:
    named = environment.get(f"{PREFIX}CONFIG", "")
    if named:
        return Path(named)
    found = folder / USER_FILE
    return found if found.is_file() else None


def _read_user(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}); check {PREFIX}CONFIG") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not TOML: {error}") from error


def _read_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    _refuse_unknown(environment)
    source = EnvSettingsSource(
        Settings, case_sensitive=False, env_prefix=PREFIX, env_nested_delimiter=NESTING
    )
    source.env_vars = {name.lower(): value for name, value in environment.items()}
    try:
        return source()
    except SettingsError as error:
        cause = error.__cause__
        raise ConfigError(f"environment: {error}: {cause}. Lists are written as JSON") from error


def _refuse_unknown(environment: Mapping[str, str]) -> None:
    """A misspelt variable would be passed over in silence: refuse the ones that name a section of ours."""
    for name in environment:
        if not name.startswith(PREFIX) or NESTING not in name:
            continue
        section, _, field = name[len(PREFIX) :].lower().partition(NESTING)
        fields = _fields_of(Settings.model_fields.get(section))
        if fields is None:
            raise ConfigError(
                f"{name}: there is no section {section!r}; there are {', '.join(_section_names())}"
            )
        if field not in fields:
            raise ConfigError(f"{name}: [{section}] has no {field!r}; it has {', '.join(fields)}")


def _section_names() -> list[str]:
    return [name for name, info in Settings.model_fields.items() if _fields_of(info) is not None]


def _fields_of(info: FieldInfo | None) -> list[str] | None:
    kind = info.annotation if info is not None else None
    if isinstance(kind, type) and not get_args(kind) and issubclass(kind, sections.Section):
        return list(kind.model_fields)
    return None


def _merge(
    into: dict[str, Any], values: Mapping[str, Any], origin: str, origins: dict[str, str], at: str = ""
) -> None:
    for name, value in values.items():
        path = f"{at}{name}"
        if isinstance(value, Mapping):
            branch = into.setdefault(name, {})
            if isinstance(branch, dict):
                _merge(branch, value, origin, origins, f"{path}.")
                continue
        into[name] = value
        origins[path] = _variable(path) if origin == "environment" else origin


def _variable(path: str) -> str:
    return PREFIX + path.replace(".", NESTING).upper()


def _explain(error: ValidationError, origins: Mapping[str, str]) -> str:
    lines = []
    for problem in error.errors():
        path = ".".join(str(part) for part in problem["loc"])
        known = next((name for name in (path, path.rsplit(".", 1)[0]) if name in origins), path)
        origin = origins.get(known, "the settings")
        where = origin if origin.startswith(PREFIX) else f"{origin}: {path}"
        if problem["type"] == "missing":
            lines.append(f"{where}: is missing")
        elif problem["type"] == "extra_forbidden":
            lines.append(f"{where}: there is no such setting; `playhead config show` lists them all")
        else:
            said = problem["msg"].removeprefix("Input should be ").split(", unable to")[0]
            lines.append(f"{where} = {problem['input']!r}: expected {said}")
    return "\n".join(lines)
