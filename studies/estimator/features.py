"""The features of an architecture in an additive model of the effects of its attentions."""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from ...spaces.architecture import Architecture
from ...spaces.backbones.sites import SiteMap
from .find_insertion_facts import FactsLookup, facts_of_insertion

Array = npt.NDArray[np.float64]

KINDS = ("size", "attention", "stage", "ratio", "position", "pair")
"""Kinds of effect: the size of the modules; an attention in any stage; an attention in one stage;
the reduction ratio; the position; and a pair of attentions in two stages. Random draws are made in
this order.
"""

MAX_CACHED_INSERTIONS = 10_000
MAX_CACHED_ARCHITECTURES = 20_000
"""Architectures whose features are cached, which take about 100 MB."""


@dataclass(frozen=True)
class EffectAmounts:
    """The effects of one kind that an architecture has.

    Attributes:
        ids: (k,) which effects, as numbered by `ArchitectureFeatures`.
        amounts: (k,) how much of each.
    """

    ids: npt.NDArray[np.int_]
    amounts: Array


class ArchitectureFeatures:
    """The features of architectures of one backbone: for each kind, the amount of every effect.

    Args:
        stages: of the backbone; every architecture has a share of blocks in each.
        facts: returns the facts of an insertion.
    """

    def __init__(self, stages: Sequence[int], facts: FactsLookup) -> None:
        self.stages, self._facts = tuple(stages), lru_cache(MAX_CACHED_INSERTIONS)(facts)
        self._ids: dict[str, dict[Any, int]] = {kind: {} for kind in KINDS}
        self._cache: dict[str, dict[str, EffectAmounts]] = {}

    @classmethod
    def of_backbone(cls, site_map: SiteMap) -> ArchitectureFeatures:
        """The features of architectures whose attentions are installed here."""
        return cls(tuple(site_map.blocks), lambda i: facts_of_insertion(i, site_map))

    def effects_of(self, architecture: Architecture) -> dict[str, EffectAmounts]:
        """The effects of an architecture by their kind; cached."""
        if architecture.key not in self._cache:
            if len(self._cache) >= MAX_CACHED_ARCHITECTURES:
                self._cache.clear()
            self._cache[architecture.key] = {
                kind: self._number_effects(kind, amounts)
                for kind, amounts in self._amounts(architecture).items()
            }
        return self._cache[architecture.key]

    def design_matrices(
        self, trained: Sequence[Architecture], predicted: Sequence[Architecture]
    ) -> dict[str, Array]:
        """For each kind, a matrix (architectures, effects) of the amounts of all effects.

        Each matrix is scaled so that the squares of a row add up to one on average over the trained
        architectures; what is predicted about one does not depend on the others.

        Args:
            trained: (t,) the first rows.
            predicted: (n,) the last rows.
        """
        effects = [self.effects_of(architecture) for architecture in (*trained, *predicted)]
        return {
            kind: _design_matrix([by_kind[kind] for by_kind in effects], len(trained))
            for kind in KINDS
        }

    def _number_effects(self, kind: str, amounts: Mapping[Any, float]) -> EffectAmounts:
        ids = self._ids[kind]
        numbers = [ids.setdefault(name, len(ids)) for name in amounts]
        return EffectAmounts(
            np.array(numbers, dtype=int), np.array(list(amounts.values()), dtype=float)
        )

    def _amounts(self, architecture: Architecture) -> dict[str, dict[Any, float]]:
        """The amount of each effect by kind and name: shares of blocks, averaged over stages."""
        amounts: dict[str, defaultdict[Any, float]] = {kind: defaultdict(float) for kind in KINDS}
        by_stage: dict[int, defaultdict[str, float]] = {s: defaultdict(float) for s in self.stages}
        for insertion in architecture.changes:
            name, facts = insertion.attention, self._facts(insertion)
            octaves = facts.octaves or 0.0
            for stage in self.stages:
                share = facts.shares.get(stage, 0.0)
                by_stage[stage][name] += share
                part = share / len(self.stages)
                amounts["attention"][name] += part
                amounts["stage"][stage, name] += share
                amounts["ratio"][name] += part * octaves
                amounts["ratio"][stage, name] += share * octaves
                amounts["position"][name, insertion.position] += part
                amounts["position"][stage, insertion.position] += share
            amounts["size"][""] += facts.size / len(self.stages)
        for (s, shares_s), (t, shares_t) in itertools.combinations(by_stage.items(), 2):
            for name_s, name_t in itertools.product(shares_s, shares_t):
                amounts["pair"][s, name_s, t, name_t] += shares_s[name_s] * shares_t[name_t]
        return {kind: {k: v for k, v in columns.items() if v} for kind, columns in amounts.items()}


def _design_matrix(rows: Sequence[EffectAmounts], trained: int) -> Array:
    ids = np.concatenate([np.zeros(0, dtype=int), *(row.ids for row in rows)])
    # Columns are in the order in which they first occur in these rows, and not in that of their
    # ids, because a column's random draw must not depend on earlier calls.
    _, first, column = np.unique(ids, return_index=True, return_inverse=True)
    rank = np.empty(len(first), dtype=int)
    rank[np.argsort(first)] = np.arange(len(first))
    design = np.zeros((len(rows), max(1, len(first))))
    row_of = np.repeat(np.arange(len(rows)), [len(row.ids) for row in rows])
    design[row_of, rank[column]] = np.concatenate([np.zeros(0), *(row.amounts for row in rows)])
    reference = design[:trained] if design[:trained].any() else design
    norm = float((reference**2).sum(axis=1).mean()) if len(reference) else 0.0
    return design / math.sqrt(norm) if norm > 0 else design
