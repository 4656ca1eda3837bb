"""The section of the settings that says which CDNs there are, and what devices can play."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from config.sections import PositiveFloat, PositiveInt, Section, Share

PathwayId = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]+$", max_length=64)]


class PathwaySettings(Section):
    """Where the titles are on one CDN."""

    base_url: Annotated[str, Field(pattern=r"^https?://[^\s\"<>]+/$")]
    """With ``{title}`` where the title's name goes."""


class CloneSettings(Section):
    """A pathway that manifests need not name: another, with other hosts or query parameters."""

    of: PathwayId
    host: Annotated[str, Field(pattern=r"^[A-Za-z0-9.-]*$")] = ""
    port: Annotated[int, Field(ge=0, le=65535)] = 0
    params: dict[str, str] = Field(default_factory=dict)


class DeviceSettings(Section):
    """What one kind of device plays."""

    height: PositiveInt
    bitrate_kbps: PositiveFloat
    codecs: tuple[Literal["h264", "h265", "av1"], ...]
    counts_as: Annotated[str, Field(max_length=64)] = ""
    """What beats call such devices; empty: the same."""


class DeliverySettings(Section):
    """CDNs in their default order, and the caps of devices and connections."""

    order: Annotated[tuple[PathwayId, ...], Field(min_length=1)]
    split: dict[str, Share]
    pathways: dict[str, PathwaySettings]
    clones: dict[str, CloneSettings]
    connection_share: Annotated[float, Field(gt=0, le=1)]
    h265_from_kbps: PositiveFloat
    devices: dict[str, DeviceSettings]
    other_device: str
    public_url: Annotated[str, Field(pattern=r"^(https?://[^\s\"<>]+)?$")]
    manifest_max_age_s: Annotated[int, Field(ge=0)]
    live_window_s: PositiveFloat
    live_delay_s: PositiveFloat
    live_update_s: PositiveFloat

    @model_validator(mode="after")
    def _names_are_known(self) -> Self:
        for where, names in (("order", self.order), ("split", tuple(self.split))):
            for name in names:
                if name not in self.pathways and name not in self.clones:
                    raise ValueError(f"{where} names {name!r}, of which [delivery.pathways] says nothing")
        for name, clone in self.clones.items():
            if clone.of not in self.pathways or name in self.pathways:
                raise ValueError(f"clone {name!r} must have a name of its own and be of one of the pathways")
        if len(set(self.order)) != len(self.order):
            raise ValueError("order names a CDN twice")
        if sum(self.split.values()) > 1 + 1e-9:
            raise ValueError("the shares of split add up to more than 1")
        if self.other_device not in self.devices:
            raise ValueError(f"other_device = {self.other_device!r} is none of the devices")
        return self

    def counted_as(self, device: str) -> str:
        """Return what cohorts call `device`; one that is none of the devices keeps its name."""
        stated = self.devices.get(device)
        return stated.counts_as or device if stated is not None else device
