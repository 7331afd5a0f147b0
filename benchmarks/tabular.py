"""Tabular benchmarks: every architecture of a small space, with seeds and full learning curves.

Made by `train_table.py`. `Table` answers what an architecture costs and what it is truly worth,
`Dealt` how a trial of it goes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from attentune.benchmarks.tables import resnet6  # noqa: F401  registers it with timm
from attentune.runners.recipe import Recipe
from attentune.runners.results import Costs, EpochReport
from attentune.spaces.architecture import Architecture
from attentune.spaces.bound import bind
from attentune.spaces.discover import site_map
from attentune.spaces.space import Space
from attentune.studies.analysis import non_dominated

Array = np.ndarray[Any, Any]

TABLES = [Path(__file__).parent / "tables" / f"{name}_plain.json" for name in ("cued", "cluttered")]
"""The tables that are committed."""


@dataclass(frozen=True)
class Row:
    """One architecture of a table: curves are (seeds, epochs)."""

    costs: Costs
    accuracy: Array
    train_loss: Array

    @property
    def truth(self) -> float:
        """Mean final accuracy over the seeds."""
        return float(self.accuracy[:, -1].mean())

    def first(self, seeds: int) -> Row:
        """No more than so many of its trials."""
        return Row(self.costs, self.accuracy[:seeds], self.train_loss[:seeds])


class Table:
    """Every architecture of a space, by its text, and what `of` a price list answers.

    Attributes:
        seeds: trials of every architecture of the space; baselines outside of it have fewer.
        ranked: the space's architectures, the truly best first.
    """

    def __init__(self, path: Path) -> None:
        found = json.loads(path.read_text("utf-8"))
        self.name, self.backbone = path.stem, found["backbone"]
        self.recipe, self.space = Recipe.of(**found["recipe"]), Space.of(**found["space"])
        self.rows = {
            row["architecture"]: Row(Costs(row["params"], row["macs"]), *levelled)
            for row, levelled in zip(
                found["architectures"], _levelled(found["architectures"]), strict=True
            )
        }
        size, stem = self.recipe.image_size, self.recipe.stem
        self.bound = bind(self.space, site_map(self.backbone, image_size=size, stem=stem))
        inside = {str(self.bound.decide(self.bound.at(i))) for i in range(self.bound.size())}
        self.seeds = min(len(self.rows[text].accuracy) for text in inside)
        self.rows = {text: row.first(self.seeds) for text, row in self.rows.items()}
        self.ranked = sorted(inside, key=lambda text: (-self.rows[text].truth, text))

    @cached_property
    def shared(self) -> Array:
        """Mean accuracy of all architectures of the space (seeds, epochs)."""
        mean: Array = np.mean([self.rows[text].accuracy for text in self.ranked], axis=0)
        return mean

    def of(self, architecture: Architecture) -> Costs:
        """As `CostModel.of`."""
        return self.rows[str(architecture)].costs

    def front(self, means: Mapping[str, float]) -> list[str]:
        """The front of these architectures by accuracy as a search knows it, and parameters."""
        texts = list(means)
        points = [(-means[text], self.rows[text].costs.params) for text in texts]
        kept = non_dominated(np.array(points, dtype=float))
        return [text for text, stays in zip(texts, kept, strict=True) if stays]

    @cached_property
    def whole(self) -> float:
        """The largest hypervolume that there is."""
        return self.volume(self.ranked)

    def front_volume(self, means: Mapping[str, float]) -> float:
        """True hypervolume of the front of these architectures, in parts of the best possible."""
        return self.volume(self.front(means)) / self.whole

    def volume(self, texts: Sequence[str]) -> float:
        """Hypervolume by true accuracy and parameters, from the worst of both."""
        worst = [-min(r.truth for r in self.rows.values()), max(_params(self.rows.values()))]
        least = min(_params(self.rows.values()))
        best = -max(r.truth for r in self.rows.values())
        points = np.array([[-self.rows[t].truth, self.rows[t].costs.params] for t in texts])
        low, high = np.array([best, least]), np.array(worst)
        scaled = (points - low) / (high - low)
        return float(optuna._hypervolume.compute_hypervolume(scaled, np.array([1.0, 1.0])))


def missing(rows: Sequence[Mapping[str, Any]], seeds: int) -> list[tuple[str, int]]:
    """What is still to be trained, those of one seed before those of the next.

    A baseline outside of the space has one seed: replays begin with it, and never come back.
    """
    return [
        (row["architecture"], seed)
        for seed in range(seeds)
        for row in rows
        if seed not in row["seeds"] and not (seed and row.get("outside"))
    ]


def _levelled(rows: Sequence[Mapping[str, Any]]) -> list[tuple[Array, Array]]:
    """Accuracy and training loss of every row, as if one machine had trained all of it.

    What all trials of a seed share differs between two kinds of machines. It is the mean of how far
    the trials that a machine made with that seed lie from the other seeds of their architectures,
    those of the first machine. Both kinds are moved to the mean of the two.
    """
    found = [(np.array(row["accuracy"]), np.array(row["train_loss"])) for row in rows]
    for seed in sorted({seed for row in rows for seed in row.get("elsewhere", ())}):
        trials = []
        for row, curves in zip(rows, found, strict=True):
            moved = row.get("elsewhere", ())
            own = [i for i, s in enumerate(row["seeds"]) if s != seed and s not in moved]
            if seed in row["seeds"] and own:
                trials.append((row["seeds"].index(seed), seed in moved, own, curves))
        for which in (0, 1):
            away: dict[bool, list[Array]] = {}
            for at, kind, own, curves in trials:
                values = curves[which]
                away.setdefault(kind, []).append(values[at] - values[own].mean(axis=0))
            mean = {kind: np.mean(distances, axis=0) for kind, distances in away.items()}
            middle = np.mean(list(mean.values()), axis=0)
            for at, kind, _, curves in trials:
                curves[which][at] += middle - mean[kind]
    return found


def _params(rows: Any) -> list[int]:
    return [row.costs.params for row in rows]


class Dealt:
    """The table's seeds, dealt anew for one repetition, so that no way profits from a lucky one.

    What all architectures share in a seed (`Table.shared`) stays shared by the trials of a seed, as
    it is when networks are paired; what is left of a trial is dealt to each architecture by itself.
    """

    def __init__(self, table: Table, repetition: int) -> None:
        self.table = table
        self._rng = np.random.default_rng(repetition)
        self._seeds = self._rng.permutation(table.seeds)
        self._own: dict[str, Array] = {}

    def curve(self, text: str, turn: int) -> list[EpochReport]:
        """The epochs of the trial of an architecture with its `turn`-th seed, counted from 0."""
        row = self.table.rows[text]
        if text not in self._own:
            self._own[text] = self._rng.permutation(len(row.accuracy))
        own = self._own[text][turn % len(row.accuracy)]
        common = self._seeds[turn % self.table.seeds]
        accuracy = row.accuracy[own] + self.table.shared[common] - self.table.shared[own]
        return [
            EpochReport(epoch, float(loss), float(np.clip(value, 0, 1)), 0.0, 0.0, 1.0)
            for epoch, (loss, value) in enumerate(
                zip(row.train_loss[own], accuracy, strict=True), start=1
            )
        ]
