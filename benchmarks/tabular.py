"""Tabular benchmarks: every architecture of a small space, with seeds and full learning curves.

Made by `train_table.py`. `Table` answers what an architecture costs and what it is truly worth,
`Dealt` how a trial of it goes.
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
import optuna
from attentune.benchmarks.tables import resnet6  # noqa: F401  registers it with timm
from attentune.runners.recipe import Recipe
from attentune.runners.results import Costs, EpochReport
from attentune.spaces.architecture import Architecture
from attentune.spaces.backbones.discover import find_sites
from attentune.spaces.search_space.bound_space import bind_space
from attentune.spaces.search_space.space import Space
from attentune.studies.analysis.analyse import non_dominated

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
        self.bound = bind_space(self.space, find_sites(self.backbone, image_size=size, stem=stem))
        inside = {str(self.bound.architecture_at(i)) for i in range(self.bound.count())}
        self.seeds = min(len(self.rows[text].accuracy) for text in inside)
        self.rows = {text: row.first(self.seeds) for text, row in self.rows.items()}
        self.ranked = sorted(inside, key=lambda text: (-self.rows[text].truth, text))

    @cached_property
    def parts(self) -> Parts:
        """What the curves of its trials are made of."""
        return Parts.of(self.rows, self.ranked)

    def price(self, architecture: Architecture) -> Costs:
        """As `CostModel.price`."""
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


@dataclass(frozen=True)
class Parts:
    """Curves (…, 2, epochs) of accuracy and of the logarithm of the training loss, taken apart.

    Attributes:
        mean: what an architecture shows on average, by its text.
        shared: what all trials of a seed show beyond that (seeds, 2, epochs).
        luck: what is left of each trial (trials, 2, epochs), widened by what its own part in the
            two took away.
    """

    mean: Mapping[str, Array]
    shared: Array
    luck: Array

    @classmethod
    def of(cls, rows: Mapping[str, Row], inside: Sequence[str]) -> Parts:
        """`inside` are the architectures that have every seed."""
        every = {
            text: np.stack([row.accuracy, np.log(np.maximum(row.train_loss, 1e-4))], axis=1)
            for text, row in rows.items()
        }
        trials = np.array([every[text] for text in inside])  # (architectures, seeds, 2, epochs)
        shared = trials.mean(axis=0) - trials.mean(axis=(0, 1))
        mean = {text: (own - shared[: len(own)]).mean(axis=0) for text, own in every.items()}
        luck = trials - shared - trials.mean(axis=1, keepdims=True)
        architectures, seeds = luck.shape[:2]
        kept = (1 - 1 / architectures) * (1 - 1 / seeds)
        return cls(mean, shared, luck.reshape(-1, *luck.shape[2:]) / math.sqrt(kept))


class Dealt:
    """Trials of a table for one repetition, as many of each architecture as a search asks for.

    The table's own trials would be too kind to searches: who has seen all three seeds of an
    architecture knows the truth, which is their mean. So a trial is what its architecture shows on
    average, and what all trials of its seed share (which stays shared, as it is when networks are
    paired), and the luck of some trial of the table, drawn by chance.
    """

    def __init__(self, table: Table, repetition: int) -> None:
        self.table, self.repetition = table, repetition
        self._places = {text: place for place, text in enumerate(table.rows)}
        self._seeds = np.random.default_rng(repetition).permutation(table.seeds)

    def curve(self, text: str, turn: int) -> list[EpochReport]:
        """The epochs of the trial of an architecture with its `turn`-th seed, counted from 0."""
        parts = self.table.parts
        draw = np.random.default_rng([self.repetition, self._places[text], turn])
        luck = parts.luck[draw.integers(len(parts.luck))]
        seed = self._seeds[turn % self.table.seeds]
        accuracy, loss = parts.mean[text] + parts.shared[seed] + luck
        return [
            EpochReport(epoch, math.exp(told), float(np.clip(value, 0, 1)), 0.0, 0.0, 1.0)
            for epoch, (told, value) in enumerate(zip(loss, accuracy, strict=True), start=1)
        ]
