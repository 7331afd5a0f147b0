"""Tabular benchmarks: all architectures of a small space, with several seeds and learning curves.

`train_tabular_benchmark.py` makes them. `TabularBenchmark` has the costs and the true accuracy of
each architecture, and `ShuffledSeeds` the learning curves of simulated trials.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from attentune.runners.recipe import Recipe
from attentune.runners.results import Costs, EpochReport
from attentune.spaces.architecture import Architecture
from attentune.spaces.backbones.discover import find_sites
from attentune.spaces.search_space.bound_space import bind_space
from attentune.spaces.search_space.space import Space
from attentune.studies.analysis.hypervolume import hypervolume
from attentune.studies.analysis.pareto import non_dominated

Array = np.ndarray[Any, Any]

DIGIT_TABLES = [
    Path(__file__).parent / "tables" / f"{name}_plain.json" for name in ("cued", "cluttered")
]
"""The tabular benchmarks whose images are embedded."""
TABLES = [*DIGIT_TABLES, Path(__file__).parent / "tables" / "cifar10_plain.json"]
"""The tabular benchmarks in the repository."""


@dataclass(frozen=True)
class TableRow:
    """One architecture of a tabular benchmark; its learning curves are (seeds, epochs)."""

    costs: Costs
    accuracy: Array
    train_loss: Array

    @property
    def truth(self) -> float:
        """Mean final accuracy over the seeds."""
        return float(self.accuracy[:, -1].mean())

    def truncate(self, seeds: int) -> TableRow:
        """Only its first trials, at most `seeds` of them."""
        return TableRow(self.costs, self.accuracy[:seeds], self.train_loss[:seeds])


class TabularBenchmark:
    """All architectures of a space, with their costs and learning curves.

    Attributes:
        rows: by architecture text; includes baselines outside the space.
        seeds: number of trials of each architecture of the space; baselines have fewer.
        ranked: the space's architectures, those with the highest true accuracy first.
    """

    def __init__(self, path: Path) -> None:
        content = json.loads(path.read_text("utf-8"))
        self.name, self.backbone = path.stem, content["backbone"]
        self.recipe, self.space = Recipe.of(**content["recipe"]), Space.of(**content["space"])
        self.rows = {
            row["architecture"]: TableRow(Costs(row["params"], row["macs"]), *curves)
            for row, curves in zip(
                content["architectures"],
                _remove_machine_effects(content["architectures"]),
                strict=True,
            )
        }
        size, stem = self.recipe.image_size, self.recipe.stem
        self.bound_space = bind_space(
            self.space, find_sites(self.backbone, image_size=size, stem=stem)
        )
        inside = {str(self.bound_space.architecture_at(i)) for i in range(self.bound_space.count())}
        self.seeds = min(len(self.rows[text].accuracy) for text in inside)
        self.rows = {text: row.truncate(self.seeds) for text, row in self.rows.items()}
        self.ranked = sorted(inside, key=lambda text: (-self.rows[text].truth, text))

    def regret(self, text: str) -> float:
        """By how many points an architecture is truly below the best one."""
        return 100 * (self.rows[self.ranked[0]].truth - self.rows[text].truth)

    @cached_property
    def components(self) -> CurveComponents:
        """The learning curves, decomposed."""
        return CurveComponents.of(self.rows, self.ranked)

    def price(self, architecture: Architecture) -> Costs:
        """The costs of an architecture, as `CostModel.price`."""
        return self.rows[str(architecture)].costs

    def find_front(self, means: Mapping[str, float]) -> list[str]:
        """The Pareto front of these architectures by estimated accuracy and parameters."""
        texts = list(means)
        points = [(-means[text], self.rows[text].costs.params) for text in texts]
        on_front = non_dominated(np.array(points, dtype=float))
        return [text for text, is_on_front in zip(texts, on_front, strict=True) if is_on_front]

    @cached_property
    def largest_hypervolume(self) -> float:
        """The hypervolume of all architectures of the space."""
        return self.volume(self.ranked)

    def hypervolume_share(self, means: Mapping[str, float]) -> float:
        """Hypervolume, at true accuracies, of the front of these estimates, as a fraction of the
        largest."""
        return self.volume(self.find_front(means)) / self.largest_hypervolume

    def volume(self, texts: Sequence[str]) -> float:
        """Hypervolume by true accuracy and parameters; the reference point is the worst of both."""
        worst = [-min(r.truth for r in self.rows.values()), max(_params(self.rows.values()))]
        least = min(_params(self.rows.values()))
        best = -max(r.truth for r in self.rows.values())
        points = np.array([[-self.rows[t].truth, self.rows[t].costs.params] for t in texts])
        low, high = np.array([best, least]), np.array(worst)
        scaled = (points - low) / (high - low)
        return hypervolume(scaled)


def missing_trials(rows: Sequence[Mapping[str, Any]], seeds: int) -> list[tuple[str, int]]:
    """The (architecture, seed) pairs that are still to be trained, ordered by seed.

    A baseline outside the space has one seed, because replays run it once.
    """
    return [
        (row["architecture"], seed)
        for seed in range(seeds)
        for row in rows
        if seed not in row["seeds"] and not (seed and row.get("outside"))
    ]


def _remove_machine_effects(rows: Sequence[Mapping[str, Any]]) -> list[tuple[Array, Array]]:
    """Accuracy and training loss of every row, as if one kind of machine had trained all trials.

    The effect of a seed differs between two kinds of machines. For each kind, it is estimated as
    the mean difference between trials with that seed and the other seeds of their architectures on
    the first kind. Both kinds are shifted to the mean of the two estimates.
    """
    rows_curves = [(np.array(row["accuracy"]), np.array(row["train_loss"])) for row in rows]
    for seed in sorted({seed for row in rows for seed in row.get("elsewhere", ())}):
        trials = []
        for row, curves in zip(rows, rows_curves, strict=True):
            elsewhere = row.get("elsewhere", ())
            rest = [i for i, s in enumerate(row["seeds"]) if s != seed and s not in elsewhere]
            if seed in row["seeds"] and rest:
                trials.append((row["seeds"].index(seed), seed in elsewhere, rest, curves))
        for quantity in (0, 1):  # accuracy, training loss
            differences: dict[bool, list[Array]] = {}
            for index, kind, rest, curves in trials:
                values = curves[quantity]
                difference = values[index] - values[rest].mean(axis=0)
                differences.setdefault(kind, []).append(difference)
            mean = {kind: np.mean(values, axis=0) for kind, values in differences.items()}
            middle = np.mean(list(mean.values()), axis=0)
            for index, kind, _, curves in trials:
                curves[quantity][index] += middle - mean[kind]
    return rows_curves


def _params(rows: Any) -> list[int]:
    return [row.costs.params for row in rows]


@dataclass(frozen=True)
class CurveComponents:
    """Learning curves as sums of components: (…, 2, epochs), accuracy and log training loss.

    Attributes:
        mean: by architecture text, its mean over the seeds.
        shared: the seed effects (seeds, 2, epochs), equal for all architectures.
        residuals: the rest of each trial (trials, 2, epochs), scaled up by the degrees of freedom
            that the other two components use.
    """

    mean: Mapping[str, Array]
    shared: Array
    residuals: Array

    @classmethod
    def of(cls, rows: Mapping[str, TableRow], inside: Sequence[str]) -> CurveComponents:
        """Decompose the curves of `rows`; `inside` are the architectures that have all seeds."""
        curves = {
            text: np.stack([row.accuracy, np.log(np.maximum(row.train_loss, 1e-4))], axis=1)
            for text, row in rows.items()
        }
        trials = np.array([curves[text] for text in inside])  # (architectures, seeds, 2, epochs)
        shared = trials.mean(axis=0) - trials.mean(axis=(0, 1))
        mean = {text: (c - shared[: len(c)]).mean(axis=0) for text, c in curves.items()}
        residuals = trials - shared - trials.mean(axis=1, keepdims=True)
        architectures, seeds = residuals.shape[:2]
        variance_share = (1 - 1 / architectures) * (1 - 1 / seeds)
        return cls(
            mean, shared, residuals.reshape(-1, *residuals.shape[2:]) / math.sqrt(variance_share)
        )


class ShuffledSeeds:
    """Simulated trials for one repetition, any number of them for each architecture.

    With the table's own trials, a search that has run all seeds of an architecture would know the
    true accuracy, which is their mean. A simulated trial is therefore the sum of the mean of its
    architecture, the effect of its seed (the same for all architectures), and the residual of a
    random trial of the table.
    """

    def __init__(self, table: TabularBenchmark, repetition: int) -> None:
        self.table, self.repetition = table, repetition
        self._indices = {text: index for index, text in enumerate(table.rows)}
        self._seeds = np.random.default_rng(repetition).permutation(table.seeds)

    def curve(self, text: str, turn: int) -> list[EpochReport]:
        """The epochs of the `turn`-th trial of an architecture, counted from 0."""
        components = self.table.components
        draw = np.random.default_rng([self.repetition, self._indices[text], turn])
        residual = components.residuals[draw.integers(len(components.residuals))]
        seed = self._seeds[turn % self.table.seeds]
        accuracy, loss = components.mean[text] + components.shared[seed] + residual
        return [
            EpochReport(epoch, math.exp(log_loss), float(np.clip(value, 0, 1)), 0.0, 0.0, 1.0)
            for epoch, (log_loss, value) in enumerate(zip(loss, accuracy, strict=True), start=1)
        ]
