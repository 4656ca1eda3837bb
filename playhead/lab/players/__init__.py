"""hls.js, dash.js and Shaka in a real browser: where they are, and the page that runs them."""

from __future__ import annotations

from hashlib import blake2b
from pathlib import Path

from playhead.engine.folders import tools_folder

HERE = Path(__file__).parent
PAGE = HERE / "page.html"
PINS = HERE / "package-lock.json"
SCRIPTS = (
    "hls.js/dist/hls.min.js",
    "dashjs/dist/modern/umd/dash.all.min.js",
    "shaka-player/dist/shaka-player.compiled.js",
)


def players_folder() -> Path:
    """Return where the scripts of the pinned versions are, once `scripts/setup.sh` has fetched them."""
    return tools_folder() / f"players-{blake2b(PINS.read_bytes(), digest_size=4).hexdigest()}"
