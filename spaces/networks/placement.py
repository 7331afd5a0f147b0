"""Which attention, with which resolved options, goes to which site, and in which order.

Building networks, counting costs and writing canonical texts all use `placements`. These are plain
values, and this module imports no torch.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from ..architecture import Architecture, Insertion
from ..attentions.entry import Attention, Convolution, Value
from ..attentions.registry import get_attention
from ..backbones.sites import Anchor, Site, SiteMap

ResolvedOptions = tuple[tuple[str, Value], ...]
"""(name, value) pairs in the catalogue's order; see `Placement.resolved_options`."""


@dataclass(frozen=True)
class Placement:
    """One attention at one site.

    Attributes:
        site: where.
        insertion: which attention with which options, as in the architecture text.
        order: how many attentions precede it at the same anchor.
    """

    site: Site
    insertion: Insertion
    order: int

    @property
    def resolved_options(self) -> ResolvedOptions:
        """The options as resolved for this site: the hidden width instead of `r`, and a number
        instead of `auto`.

        Two insertions of one attention build the same module here if and only if these are equal.
        """
        return resolve_options(self.insertion, self.site.channels)

    @property
    def parameters(self) -> int:
        """Number of parameters that it must have by the catalogue's formula."""
        site, size = self.site, (self.site.height, self.site.width)
        entry = get_attention(self.insertion.attention)
        settings = self.insertion.settings
        convolution = {} if self.convolution is None else {"convolution": self.convolution}
        return entry.parameters(site.channels, settings, size, **convolution)

    @property
    def arguments(self) -> dict[str, Any]:
        """The keyword arguments of the attention's class; its first argument is the channels."""
        return module_arguments(tuple(self.insertion.settings.items()), self.convolution)

    @property
    def convolution(self) -> Convolution | None:
        """The convolution that the attention replaces, without its path; None if it needs none."""
        convolution = self.site.convolution
        if convolution is None or not get_attention(self.insertion.attention).needs_convolution:
            return None
        return replace(convolution, module="")

    @property
    def label(self) -> str:
        """The attention with its options, and where it is: `se(r=16) at s1b1.residual`."""
        return f"{str(self.insertion).partition('@')[0]} at {self.site.label}"

    def __str__(self) -> str:
        return f"{self.insertion.attention} at {self.site.label} ({self.site.module})"


def module_arguments(settings: ResolvedOptions, convolution: Convolution | None) -> dict[str, Any]:
    """The keyword arguments of an attention's class.

    Args:
        settings: all its options with their values, as in an architecture text.
        convolution: the one that it replaces, if it needs one.
    """
    arguments: dict[str, Any] = {
        "reduction_ratio" if name == "r" else name: value for name, value in settings
    }
    return arguments if convolution is None else {**arguments, "convolution": convolution}


def placements(architecture: Architecture, site_map: SiteMap) -> list[Placement]:
    """All attentions of `architecture` at all sites that it names, in the order of the text.

    Args:
        architecture: backbone and insertions.
        site_map: of the backbone as timm builds it.

    Raises:
        ArchitectureError: as `SiteMap.select_sites` and `SiteMap.without_own_attention`.
    """
    site_map = site_map.without_own_attention(architecture.removed)
    placed: list[Placement] = []
    counts: dict[Anchor, int] = {}
    for insertion in architecture.insertions:
        for site in site_map.select_sites(insertion):
            order = counts.get(site.anchor, 0)
            placed.append(Placement(site, insertion, order))
            counts[site.anchor] = order + 1
    return placed


def resolve_options(insertion: Insertion, channels: int) -> ResolvedOptions:
    """The options of an insertion for maps of `channels` channels; see
    `Placement.resolved_options`."""
    return _resolve_options(get_attention(insertion.attention), insertion.options, channels)


@lru_cache(maxsize=100_000)
def _resolve_options(entry: Attention, options: ResolvedOptions, channels: int) -> ResolvedOptions:
    resolved: dict[str, Value] = {}
    for name, value in {**entry.defaults, **dict(options)}.items():
        if name == "r":
            resolved["width"] = entry.width(channels, int(value))
        elif not (name == "start" and entry.starts_as_identity):
            resolved[name] = entry.option(name).resolve(channels, value)
    return tuple(resolved.items())
