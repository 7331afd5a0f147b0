"""The baselines that every study runs first: the bare backbone and the textbook attentions."""

from __future__ import annotations

from ...errors import ArchitectureError
from ...spaces.architecture import ALL, Architecture, Insertion, Place
from ...spaces.attentions.entry import Value
from ...spaces.networks.canonical import canonicalise
from ...spaces.search_space.bound_space import BoundSpace

TEXTBOOK_ATTENTIONS: tuple[tuple[str, dict[str, Value]], ...] = (
    ("se", {"r": 16}),
    ("eca", {}),
    ("cbam", {"r": 16}),
    ("ca", {"r": 32}),
)
"""The attentions with the ratios of their papers, which are inserted in every block, or at every
module that the space names."""


def study_baselines(backbone: str, space: BoundSpace) -> list[Architecture]:
    """The bare backbone and the textbook attentions that fit it.

    If the space removes the backbone's own attention, or searches where to remove it, the backbone
    without any of it is a baseline too. The textbook attentions are inserted into what the space
    changes, with its first position and its start; not if it inserts nothing.
    """
    baselines = [Architecture(backbone)]
    if space.space.own_attention != "keep":
        stripped = Architecture(backbone, (), (ALL,))
        baselines.append(canonicalise(stripped, space.site_map))
    position = space.first_position
    places = tuple(Place(module=module) for module in space.space.modules) or (ALL,)
    for name, options in TEXTBOOK_ATTENTIONS if position else ():
        settings = {"start": space.space.start, **options}
        insertion = Insertion.of(name, str(position), places, **settings)
        architecture = Architecture(backbone, (insertion,), space.plain.removed)
        try:
            sites = space.site_map.select_sites(insertion)
            canonical = canonicalise(architecture, space.site_map)
        except ArchitectureError:
            continue  # It does not fit.
        # Where a ratio exceeds the channels, the width is the paper's least one, not its ratio.
        if int(options.get("r", 1)) <= min(site.channels for site in sites):
            baselines.append(canonical)
    return list(dict.fromkeys(baselines))
