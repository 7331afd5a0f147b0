"""What an architecture consists of, for a model in which the effects of attentions add up."""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from ..spaces.architecture import Architecture
from ..spaces.fitting import fittings
from ..spaces.sites import SiteMap

Array = npt.NDArray[np.float64]

KINDS = ("size", "attention", "stage", "ratio", "position", "pair")
"""Kinds of effect: how large the modules are, an attention anywhere, in a stage, its ratio, its
position, and pairs of attentions in two stages.
"""


class Effects:
    """What an architecture consists of: by kind of effect, how much of each one it has."""

    def __init__(self, site_map: SiteMap) -> None:
        self.site_map = site_map
        self.of = lru_cache(maxsize=20_000)(self._of)

    def designs(self, architectures: Sequence[Architecture]) -> dict[str, Array]:
        """By kind: how much of every effect (columns) each architecture (rows) has.

        Scaled so that a row's squares sum to one on average.
        """
        consisting = [self.of(architecture) for architecture in architectures]
        return {kind: _design([one[kind] for one in consisting]) for kind in KINDS}

    def _of(self, architecture: Architecture) -> dict[str, dict[Any, float]]:
        stages = self.site_map.blocks
        found: dict[str, defaultdict[Any, float]] = {kind: defaultdict(float) for kind in KINDS}
        by_stage: dict[int, defaultdict[str, float]] = {s: defaultdict(float) for s in stages}
        for insertion in architecture.insertions:
            name, settings = insertion.attention, dict(insertion.options)
            octaves = (math.log2(float(settings["r"])) - 3) / 2 if "r" in settings else 0.0
            blocks = {(site.stage, site.block) for site in self.site_map.select(insertion)}
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
        for fitting in fittings(architecture, self.site_map):
            part = 1 / (stages[fitting.site.stage] * len(stages))
            found["size"][""] += part * math.log1p(fitting.parameters)
        for (s, these), (t, those) in itertools.combinations(by_stage.items(), 2):
            for one, other in itertools.product(these, those):
                found["pair"][s, one, t, other] += these[one] * those[other]
        return {kind: {k: v for k, v in columns.items() if v} for kind, columns in found.items()}


def _design(rows: Sequence[Mapping[Any, float]]) -> Array:
    columns = {key: i for i, key in enumerate(dict.fromkeys(k for row in rows for k in row))}
    design = np.zeros((len(rows), max(1, len(columns))))
    for i, row in enumerate(rows):
        for key, value in row.items():
            design[i, columns[key]] = value
    norm = float((design**2).sum(axis=1).mean())
    return design / math.sqrt(norm) if norm > 0 else design
