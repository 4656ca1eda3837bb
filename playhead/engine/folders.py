"""Where Playhead keeps what it makes: one data folder, `.playhead` or what PLAYHEAD_DATA_DIR names."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

DATA_FOLDER_VARIABLE = "PLAYHEAD_DATA_DIR"


def project_folder() -> Path | None:
    """The checkout this package runs from, or None when it was installed from a wheel."""
    root = Path(__file__).resolve().parents[2]
    return root if (root / "pyproject.toml").is_file() else None


def data_folder(environment: Mapping[str, str] = os.environ) -> Path:
    """The data folder: PLAYHEAD_DATA_DIR, else `.playhead` in the checkout, else in the current folder."""
    given = environment.get(DATA_FOLDER_VARIABLE)
    if given:
        return Path(given).expanduser().absolute()
    return (project_folder() or Path.cwd()) / ".playhead"


def tools_folder() -> Path:
    """Where programs that Playhead fetches for itself are cached."""
    return data_folder() / "tools"
