"""The steering manifest that players read, the same for HLS and DASH (draft-pantos-content-steering-05).

Clones come from the settings alone, never from what a player says. To shed quality a clone points the upper
variants of a pathway at a lower one (PER-VARIANT-URIS): a pathway with fewer variants would stop players.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from urllib.parse import quote

import msgspec

from config.delivery import CloneSettings, PathwaySettings
from models.steering_state import Protocol
from topics.delivery import Delivery, Rendition

CONTENT_TYPE = "application/vnd.apple.steering-list"


class UriReplacement(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How a clone's URIs differ from its base's."""

    host: str = msgspec.field(default="", name="HOST")
    params: dict[str, str] = msgspec.field(default_factory=dict, name="PARAMS")
    per_variant_uris: dict[str, str] = msgspec.field(default_factory=dict, name="PER-VARIANT-URIS")


class PathwayClone(msgspec.Struct, frozen=True, kw_only=True):
    """A pathway that the manifest does not name."""

    base_id: str = msgspec.field(name="BASE-ID")
    id: str = msgspec.field(name="ID")
    uri_replacement: UriReplacement = msgspec.field(name="URI-REPLACEMENT")


class SteeringManifest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a player is answered."""

    version: int = msgspec.field(name="VERSION")
    ttl_s: int = msgspec.field(name="TTL")
    reload_uri: str = msgspec.field(default="", name="RELOAD-URI")
    pathway_priority: list[str] = msgspec.field(name="PATHWAY-PRIORITY")
    pathway_clones: list[PathwayClone] = msgspec.field(default_factory=list, name="PATHWAY-CLONES")


def place_of(pathway: PathwaySettings, title: str) -> str:
    """Return the folder of `title` on a CDN, ending in a slash.

    >>> place_of(PathwaySettings(base_url="https://a.example/{title}/"), "Pilot 1")
    'https://a.example/Pilot%201/'
    """
    return pathway.base_url.replace("{title}", quote(title, safe=""))


def clones_in(
    order: Iterable[str], clones: Mapping[str, CloneSettings], protocol: Protocol
) -> list[PathwayClone]:
    """Return the clones that `order` names.

    HLS leaves the port alone; DASH players build the clone's address from HOST, which may carry one.
    """
    return [
        PathwayClone(base_id=clone.of, id=name, uri_replacement=_replacement(clone, protocol))
        for name in order
        if (clone := clones.get(name)) is not None
    ]


def shed_clones(
    order: Sequence[str],
    pathways: Mapping[str, PathwaySettings],
    title: str,
    delivery: Delivery,
    max_bitrate_kbps: float,
) -> list[PathwayClone]:
    """Return a clone of each pathway of `order` whose variants take `max_bitrate_kbps` at most.

    Variants keep their codec: one for which there is none so low takes the lowest of its codec. There are no
    clones where nothing would change. HLS alone: DASH has no URIs per variant.
    """
    instead = {
        rendition.id: lower.hls
        for rendition in delivery.renditions
        if rendition.hls
        and rendition.bitrate_kbps > max_bitrate_kbps
        and (lower := _at_most(rendition, delivery.renditions, max_bitrate_kbps)) is not rendition
    }
    if not instead:
        return []
    return [
        PathwayClone(
            base_id=name,
            id=f"{name}.{max_bitrate_kbps:.0f}",
            uri_replacement=UriReplacement(
                per_variant_uris={
                    variant: place_of(pathways[name], title) + path for variant, path in instead.items()
                }
            ),
        )
        for name in order
        if name in pathways
    ]


def _replacement(clone: CloneSettings, protocol: Protocol) -> UriReplacement:
    port = f":{clone.port}" if clone.port and protocol is Protocol.DASH else ""
    return UriReplacement(host=f"{clone.host}{port}" if clone.host else "", params=clone.params)


def _at_most(rendition: Rendition, renditions: Iterable[Rendition], most_kbps: float) -> Rendition:
    alike = [each for each in renditions if each.codec is rendition.codec and each.hls]
    low = [each for each in alike if each.bitrate_kbps <= most_kbps]
    if low:
        return max(low, key=lambda each: each.bitrate_kbps)
    return min(alike, key=lambda each: each.bitrate_kbps)
