"""Runs the command line: ``python -m playhead``."""

from __future__ import annotations

from playhead.cli import main

if __name__ == "__main__":
    main()
