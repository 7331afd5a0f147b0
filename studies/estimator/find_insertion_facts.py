"""What the model of a study has to know about an insertion beyond its text.

Which blocks an insertion reaches, and how many parameters its modules have, depends on the backbone
and on attentions that may come from a plug-in. A search finds out by `facts_of_insertion` and
records it, so that a study can be analysed on any machine, without torch and without plug-ins.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable

from ...spaces.architecture import OWN_REMOVED, Insertion
from ...spaces.attentions.entry import Value
from ...spaces.backbones.sites import OwnAttention, Site, SiteMap
from ...spaces.networks.placement import Placement
from ..insertion_facts import InsertionFacts

FactsLookup = Callable[[Insertion], InsertionFacts]
"""Returns the facts of an insertion."""


def facts_of_insertion(insertion: Insertion, site_map: SiteMap) -> InsertionFacts:
    """The facts of an insertion in a backbone.

    A module that is named by its path counts as a stage of its own, after those of the network.

    Args:
        insertion: its attention has to be installed here; or a removal, see `Architecture.changes`.
        site_map: all sites of the backbone.

    Raises:
        ArchitectureError: as `SiteMap.select_sites` and `SiteMap.own_attention_at`.
    """
    if insertion.attention == OWN_REMOVED:
        return _facts_of_removal(site_map.own_attention_at(insertion.places), site_map)
    sites = site_map.select_sites(insertion)
    modules = {site.module: number for number, site in enumerate(site_map.module_sites, 1)}
    stages = max(site_map.blocks, default=0)

    def group_of(site: Site) -> int:
        return site.stage or stages + modules[site.module]

    blocks = {(group_of(site), site.block) for site in sites}
    reached: defaultdict[int, int] = defaultdict(int)
    for stage, _ in sorted(blocks):
        reached[stage] += 1
    parameters = ((group_of(site), Placement(site, insertion, 0).parameters) for site in sites)
    size = sum(math.log1p(number) / site_map.blocks.get(stage, 1) for stage, number in parameters)
    shares = {stage: count / site_map.blocks.get(stage, 1) for stage, count in reached.items()}
    return InsertionFacts(shares, _octaves(dict(insertion.options).get("r")), size)


def _facts_of_removal(removed: Iterable[OwnAttention], site_map: SiteMap) -> InsertionFacts:
    """The facts of a removal: its size is negative. Attention outside the stages does not count."""
    by_stage: defaultdict[int, set[int]] = defaultdict(set)
    size = 0.0
    for own in removed:
        if own.stage:
            by_stage[own.stage].add(own.block)
            size -= math.log1p(own.parameters) / site_map.blocks[own.stage]
    shares = {
        stage: 1.0 if 0 in blocks else min(1.0, len(blocks) / site_map.blocks[stage])
        for stage, blocks in by_stage.items()
    }
    return InsertionFacts(shares, None, size)


def facts_of_text(insertion: Insertion, stages: int) -> InsertionFacts:
    """What the text of an insertion says by itself, for studies whose facts are not recorded.

    Args:
        insertion: in any backbone; its attention need not be installed.
        stages: of the backbone.
    """
    shares: dict[int, float] = {}
    for place in insertion.places:
        first, last = (place.first, min(place.last, stages)) if place.first else (1, stages)
        shares |= dict.fromkeys(range(first, last + 1), 1.0)
    return InsertionFacts(shares, _octaves(dict(insertion.options).get("r")), 0.0)


def _octaves(ratio: Value | None) -> float | None:
    if isinstance(ratio, int | float) and ratio > 0:
        return (math.log2(ratio) - 3) / 2
    return None
