"""An architecture meets a backbone: which attention, as what, at which point, in which order.

`placements` is the one reading of an architecture that building and canonical texts share. Plain
values, no torch.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from ..architecture import Architecture, Insertion
from ..attentions.catalogue import Attention, Value, attention
from ..backbones.sites import Anchor, Site, SiteMap

ResolvedOptions = tuple[tuple[str, Value], ...]


@dataclass(frozen=True)
class Placement:
    """One attention at one site. `order` counts from 0 what comes earlier at the same anchor."""

    site: Site
    insertion: Insertion
    order: int

    @property
    def resolved_options(self) -> ResolvedOptions:
        """What the options come to at this site: hidden width instead of `r`, `auto` resolved.

        Two insertions of one attention build the same module here if and only if this is equal.
        """
        return resolve_options(self.insertion, self.site.channels)

    @property
    def parameters(self) -> int:
        """How many parameters it must add, by the catalogue's formula."""
        site, size = self.site, (self.site.height, self.site.width)
        entry = attention(self.insertion.attention)
        return entry.parameters(site.channels, self.insertion.settings, size, **self._joined)

    @property
    def arguments(self) -> dict[str, Any]:
        """What the attention's class takes after the channels."""
        settings = self.insertion.settings
        named = {"reduction_ratio" if key == "r" else key: v for key, v in settings.items()}
        return {**named, **self._joined}

    @property
    def _joined(self) -> dict[str, Any]:
        joined = self.site.convolution
        if joined is None or not attention(self.insertion.attention).joins_convolution:
            return {}
        return {"convolution": replace(joined, module="")}  # what it is like, wherever it is

    def __str__(self) -> str:
        return f"{self.insertion.attention} at {self.site.label} ({self.site.module})"


def placements(architecture: Architecture, site_map: SiteMap) -> list[Placement]:
    """Every attention of `architecture` at every site it means, in the order of the text.

    ArchitectureError as from `SiteMap.select_sites`.
    """
    found: list[Placement] = []
    taken: dict[Anchor, int] = {}
    for insertion in architecture.insertions:
        for site in site_map.select_sites(insertion):
            order = taken.get(site.anchor, 0)
            found.append(Placement(site, insertion, order))
            taken[site.anchor] = order + 1
    return found


def resolve_options(insertion: Insertion, channels: int) -> ResolvedOptions:
    """See `Placement.resolved_options`."""
    return _resolve_options(attention(insertion.attention), insertion.options, channels)


@lru_cache(maxsize=100_000)
def _resolve_options(entry: Attention, options: ResolvedOptions, channels: int) -> ResolvedOptions:
    known: dict[str, Value] = {}
    for name, value in {**entry.defaults, **dict(options)}.items():
        if name == "r":
            known["width"] = entry.width(channels, int(value))
        elif not (name == "start" and entry.opens_as_identity):
            known[name] = entry.option(name).at(channels, value)
    return tuple(known.items())
