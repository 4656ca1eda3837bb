"""The section of the settings that says where the gateway listens."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from config.sections import Section


class GatewaySettings(Section):
    """Where the gateway listens."""

    host: str
    port: Annotated[int, Field(ge=0, le=65535)]
    keys: tuple[Annotated[str, Field(min_length=16)], ...]
    """Of which the routes for programs ask for one; empty: for none."""
