"""All settings, read once, frozen, passed on.

Three layers, later ones winning: the TOML files of this package, one of the user's, the environment.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, get_origin

from pydantic import Field, ValidationError

from config import sections
from config.budget import BudgetSettings
from config.capacity import CapacitySettings
from config.cmcd import CmcdSettings, SessionSettings
from config.delivery import DeliverySettings
from config.demo import DemoSettings
from config.detection import DetectionSettings, DetectorSettings, EnsembleSettings
from config.errors import ConfigError
from config.fleets import FleetSettings
from config.gateway import GatewaySettings
from config.health import HealthSettings
from config.latency import LatencySettings
from config.learned import LearnedSettings
from config.localisation import LocalisationFigures
from config.notify import NotifySettings
from config.steering import SteeringSettings

PREFIX = "PLAYHEAD_"
NESTING = "__"
USER_FILE = "playhead.toml"
READ_ELSEWHERE = frozenset(
    {"CONFIG", "DOCKER", "KAFKA_PORT", "REDIS_PORT", "KAFKA_HEAP_MB", "GRAFANA_PORT", "PROMETHEUS_PORT"}
)
"""Variables that are no settings: the user's file, and how Kafka, Redis and containers are started."""

DEFAULT_FILES = (
    "default.toml",
    "detection.toml",
    "budget.toml",
    "learned.toml",
    "localisation.toml",
    "gateway.toml",
    "notify.toml",
    "health.toml",
    "cmcd.toml",
    "steering.toml",
    "delivery.toml",
    "fleets.toml",
    "latency.toml",
    "demo.toml",
    "capacity.toml",
)
"""The figures of this package, by subject."""


class Settings(sections.Section):
    """Everything that can be set, by section."""

    brokers: str
    redis_url: str
    prefix: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]*$", max_length=100)]
    data_dir: str
    log: sections.LogSettings
    kafka: sections.KafkaSettings
    engine: sections.EngineSettings
    detection: DetectionSettings
    detectors: DetectorSettings
    ensemble: EnsembleSettings
    budget: BudgetSettings
    learned: LearnedSettings
    qoe: sections.QoeSettings
    audience: sections.AudienceSettings
    localisation: LocalisationFigures
    segments: sections.SegmentSettings
    incidents: sections.IncidentSettings
    policy: sections.PolicySettings
    health: HealthSettings
    routing: sections.RoutingSettings
    placement: sections.PlacementSettings
    actors: sections.ActorSettings
    preferences: sections.PreferenceSettings
    cache: sections.CacheSettings
    gateway: GatewaySettings
    cmcd: CmcdSettings
    sessions: SessionSettings
    steering: SteeringSettings
    delivery: DeliverySettings
    notify: NotifySettings
    experiments: sections.ExperimentSettings
    demo: DemoSettings
    capacity: CapacitySettings
    fleets: FleetSettings
    latency: LatencySettings


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
    values: dict[str, Any] = {}
    for name, text in environment.items():
        if name.startswith(PREFIX) and name.removeprefix(PREFIX) not in READ_ELSEWHERE:
            path = name.removeprefix(PREFIX).lower().split(NESTING)
            branch = values
            for section in path[:-1]:
                branch = branch.setdefault(section, {})
            branch[path[-1]] = _value(name, text, _kind(name, path))
    return values


def _kind(name: str, path: list[str]) -> Any:
    """Return the type of the setting at `path`; a misspelt variable would else be passed over in silence."""
    kind: Any = Settings
    for depth, part in enumerate(path):
        names, above = _names(kind), ".".join(path[:depth])
        if not names:
            raise ConfigError(f"{name}: {above} is a single value, set by {_variable(above)}")
        if part not in names:
            within = f"[{above}] has no" if above else "there is no setting"
            raise ConfigError(f"{name}: {within} {part!r}; there are {', '.join(names)}")
        kind = kind.model_fields[part].annotation
    if names := _names(kind):
        raise ConfigError(
            f"{name}: is a section; set its values by {name}{NESTING}{names[0].upper()} and so on"
        )
    return kind


def _names(kind: Any) -> list[str]:
    """Return the names in a section; there are none in what is no section."""
    return list(kind.model_fields) if isinstance(kind, type) and issubclass(kind, sections.Section) else []


def _value(name: str, text: str, kind: Any) -> Any:
    if get_origin(kind) not in (tuple, list, dict):
        return text
    try:
        return json.loads(text)
    except ValueError as error:
        raise ConfigError(f'{name} = {text!r}: expected JSON, such as ["a", "b"] ({error})') from error


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
    return "\n".join(_explained(error, origins))


def _explained(error: ValidationError, origins: Mapping[str, str]) -> Iterator[str]:
    for problem in error.errors():
        path = [str(part) for part in problem["loc"]]
        where = _where(path, origins)
        if problem["type"] == "missing":
            yield f"{where}: is missing"
        elif problem["type"] == "extra_forbidden":
            yield f"{where}: there is no such setting; `playhead config show` lists them all"
        else:
            yield f"{where} = {problem['input']!r}: expected {_expected(problem['type'], problem['msg'])}"


def _expected(kind: str, said: str) -> str:
    plain = {"model_type": "a table", "tuple_type": "a list", "string_type": "text"}
    if kind == "string_pattern_mismatch":
        return said.replace("String should match pattern", "text that matches")
    return plain.get(kind) or said.removeprefix("Input should be ").split(", unable to")[0]


def _where(path: list[str], origins: Mapping[str, str]) -> str:
    """Return the variable, or the file and name, that the setting at `path` came from."""
    full = ".".join(path)
    for length in range(len(path), 0, -1):
        origin = origins.get(".".join(path[:length]))
        if origin is not None and origin.startswith(PREFIX):
            return "".join((origin, *(f"[{part}]" for part in path[length:])))
        if origin is not None:
            return f"{origin}: {full}"
    inside = next((origin for name, origin in origins.items() if name.startswith(f"{full}.")), None)
    return f"{inside or 'the settings'}: {full}"
