"""What can go wrong while services are brought up.

PlayheadError
└── EngineError           exit code 3
    ├── ToolError         a program is missing or too old; says which line installs it
    ├── DataFolderError   the data folder cannot be created, written to or read
    ├── PortError         a configured port is taken by something else
    ├── StartError        a service was started and did not become ready; carries the tail of its log
    └── UnreachableError  a service that was named by address does not answer
"""

from __future__ import annotations

from topics.errors import PlayheadError


class EngineError(PlayheadError):
    """Base of everything the engine room raises; its text is meant for the person at the terminal."""

    exit_code = 3


class ToolError(EngineError):
    """A program that is needed is missing, too old, or failed."""


class DataFolderError(EngineError):
    """The data folder cannot be used."""


class PortError(EngineError):
    """A port that was asked for by number is taken."""


class StartError(EngineError):
    """A service did not become ready."""


class UnreachableError(EngineError):
    """A service given by its address does not answer there."""
