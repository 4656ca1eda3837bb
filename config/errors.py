"""Errors of the settings.

ConfigError      a setting that cannot be used
"""

from __future__ import annotations


class ConfigError(Exception):
    """A setting cannot be used: the text names where it came from, its value and what was expected."""
