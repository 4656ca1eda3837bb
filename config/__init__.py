"""Settings and the default figures."""

from __future__ import annotations

from config.errors import ConfigError
from config.settings import Loaded, Settings, load

__all__ = ["ConfigError", "Loaded", "Settings", "load"]
