"""What an architecture consists of, for a model in which the effects of attentions add up."""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ...spaces.architecture import Architecture
from ...spaces.backbones.sites import SiteMap
from ...spaces.networks.placement import placements

Array = npt.NDArray[np.float64]

KINDS = ("size", "attention", "stage", "ratio", "position", "pair")
"""Kinds of effect: how large the modules are, an attention anywhere, in a stage, its ratio, its
position, and pairs of attentions in two stages.
"""


MOST = 20_000
"""Architectures that are remembered: some 100 MB."""


@dataclass(frozen=True)
class Consists:
    """The effects of one kind that an architecture has: their `ids` and the amount of each."""

    ids: npt.NDArray[np.int_]
    amounts: Array


class ArchitectureFeatures:
    """What an architecture consists of: by kind of effect, how much of each one it has."""

    def __init__(self, site_map: SiteMap) -> None:
        self.site_map = site_map
        self._ids: dict[str, dict[Any, int]] = {kind: {} for kind in KINDS}
        self._known: dict[str, dict[str, Consists]] = {}

    def of(self, architecture: Architecture) -> dict[str, Consists]:
        """By kind of effect; remembered."""
        if architecture.key not in self._known:
            if len(self._known) >= MOST:
                self._known.clear()
            self._known[architecture.key] = {
                kind: self._numbered(kind, found) for kind, found in self._of(architecture).items()
            }
        return self._known[architecture.key]

    def designs(self, architectures: Sequence[Architecture]) -> dict[str, Array]:
        """By kind: how much of every effect (columns) each architecture (rows) has.

        Scaled so that a row's squares sum to one on average.
        """
        consisting = [self.of(architecture) for architecture in architectures]
        return {kind: _design([one[kind] for one in consisting]) for kind in KINDS}

    def _numbered(self, kind: str, found: Mapping[Any, float]) -> Consists:
        ids = self._ids[kind]
        numbers = [ids.setdefault(name, len(ids)) for name in found]
        return Consists(np.array(numbers, dtype=int), np.array(list(found.values()), dtype=float))

    def _of(self, architecture: Architecture) -> dict[str, dict[Any, float]]:
        stages = self.site_map.blocks
        found: dict[str, defaultdict[Any, float]] = {kind: defaultdict(float) for kind in KINDS}
        by_stage: dict[int, defaultdict[str, float]] = {s: defaultdict(float) for s in stages}
        for insertion in architecture.insertions:
            name, settings = insertion.attention, dict(insertion.options)
            octaves = (math.log2(float(settings["r"])) - 3) / 2 if "r" in settings else 0.0
            blocks = {(site.stage, site.block) for site in self.site_map.select_sites(insertion)}
            for stage in stages:
                share = sum(at == stage for at, _ in blocks) / stages[stage]
                by_stage[stage][name] += share
                part = share / len(stages)
                found["attention"][name] += part
                found["stage"][stage, name] += share
                found["ratio"][name] += part * octaves
                found["ratio"][stage, name] += share * octaves
                found["position"][name, insertion.position] += part
                found["position"][stage, insertion.position] += share
        for placement in placements(architecture, self.site_map):
            part = 1 / (stages[placement.site.stage] * len(stages))
            found["size"][""] += part * math.log1p(placement.parameters)
        for (s, these), (t, those) in itertools.combinations(by_stage.items(), 2):
            for one, other in itertools.product(these, those):
                found["pair"][s, one, t, other] += these[one] * those[other]
        return {kind: {k: v for k, v in columns.items() if v} for kind, columns in found.items()}


def _design(rows: Sequence[Consists]) -> Array:
    ids = np.concatenate([np.zeros(0, dtype=int), *(row.ids for row in rows)])
    # Columns in the order in which the rows first name them, whatever was asked about before: what
    # is drawn by chance for each must not depend on that.
    _, first, column = np.unique(ids, return_index=True, return_inverse=True)
    place = np.empty(len(first), dtype=int)
    place[np.argsort(first)] = np.arange(len(first))
    design = np.zeros((len(rows), max(1, len(first))))
    of_row = np.repeat(np.arange(len(rows)), [len(row.ids) for row in rows])
    design[of_row, place[column]] = np.concatenate([np.zeros(0), *(row.amounts for row in rows)])
    norm = float((design**2).sum(axis=1).mean())
    return design / math.sqrt(norm) if norm > 0 else design
