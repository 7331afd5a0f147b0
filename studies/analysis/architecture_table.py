"""The architectures of a search as arrays: means over seeds, seed effects, noise and gains."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from ...spaces.architecture import Architecture
from ..records import recorded_architecture
from .findings import ArchitectureSummary, Gain, Noise, standard_error
from .seed_effects import SeedEffects, estimate_seed_effects
from .trial_table import COST_COLUMNS, Floats, Ints, TrialTable, complete_rows


@dataclass(frozen=True)
class ArchitectureTable:
    """The architectures that have a complete trial, in the order of their first one.

    Attributes:
        texts: of all architectures in the `TrialTable`.
        text_indices: (n,) the index of each architecture in `texts`.
        rows: of the complete trials: those of one architecture together, by number.
        first_rows: (n + 1,) the index in `rows` at which each architecture's trials begin.
        baseline: (n,) whether it is one of the study's baselines.
    """

    texts: Sequence[str]
    text_indices: Ints
    rows: npt.NDArray[Any]
    first_rows: Ints
    baseline: npt.NDArray[np.bool_]

    @classmethod
    def of(cls, table: TrialTable) -> ArchitectureTable:
        """The architectures of a table; the result does not change with the table."""
        rows = table.rows
        complete = complete_rows(rows)
        number, architecture = rows["number"][complete], rows["architecture"][complete]
        by_architecture = np.lexsort((number, architecture))
        text_indices, begin = np.unique(architecture[by_architecture], return_index=True)
        order = np.argsort(number[by_architecture[begin]], kind="stable")
        ends = np.append(begin[1:], len(complete))
        counts = (ends - begin)[order]
        first_rows = np.concatenate([[0], np.cumsum(counts)])
        sources = np.repeat(begin[order] - first_rows[:-1], counts) + np.arange(len(complete))
        text_indices = text_indices[order].astype(np.int64)
        baselines = np.unique(rows["architecture"][rows["baseline"]])
        return cls(
            list(table.texts),
            text_indices,
            rows[complete[by_architecture[sources]]],
            first_rows,
            np.isin(text_indices, baselines),
        )

    def __len__(self) -> int:
        return len(self.text_indices)

    @cached_property
    def counts(self) -> Ints:
        """(n,) the number of complete trials of each."""
        return np.diff(self.first_rows)

    @cached_property
    def numbers(self) -> Ints:
        """(n,) the number of the first complete trial of each, which identifies it."""
        return self.rows["number"][self.first_rows[:-1]]

    def mean(self, key: str) -> Floats:
        """(n,) means over seeds of `accuracy` or a cost; NaN where a trial lacks it."""
        if key not in self._means:
            self._means[key] = self._sum_by_architecture(self.rows[key]) / np.maximum(
                self.counts, 1
            )
        return self._means[key]

    @cached_property
    def _means(self) -> dict[str, Floats]:
        sums = self._sum_by_architecture(self._corrected_accuracies)
        return {"accuracy": sums / np.maximum(self.counts, 1)}

    @cached_property
    def accuracy(self) -> Floats:
        """(n,) mean accuracies over seeds, with seed effects removed."""
        return self.mean("accuracy")

    @cached_property
    def _seed_effects(self) -> SeedEffects:
        architectures = np.repeat(np.arange(len(self)), self.counts)
        return estimate_seed_effects(architectures, self.rows["seed"], self.rows["accuracy"])

    @cached_property
    def _corrected_accuracies(self) -> Floats:
        """The accuracy of every row, with the effect of its seed removed."""
        corrected: Floats = self.rows["accuracy"] - self._seed_effects.of(self.rows["seed"])
        return corrected

    @cached_property
    def bare(self) -> int | None:
        """The index of the bare backbone; None if it has no complete trial."""
        baselines_first = itertools.chain(np.flatnonzero(self.baseline).tolist(), range(len(self)))
        plain = (i for i in baselines_first if "+" not in self.texts[self.text_indices[i]])
        return next((i for i in plain if self.architecture(i).bare), None)

    @property
    def noise(self) -> Noise | None:
        """The scatter of a trial beyond seed effects; None while no architecture has two seeds."""
        return self._seed_effects.noise

    @cached_property
    def gain(self) -> Floats:
        """(n,) accuracy minus that of the bare backbone, paired by seed if they share any.

        NaN for the bare backbone itself, and for all while it has no complete trial.
        """
        if self.bare is None:
            return np.full(len(self), np.nan)
        first, last = self.first_rows[self.bare], self.first_rows[self.bare + 1]
        bare_rows = self.rows[first:last]
        order = np.argsort(bare_rows["seed"], kind="stable")
        seeds, accuracies = bare_rows["seed"][order], bare_rows["accuracy"][order]
        match = np.minimum(np.searchsorted(seeds, self.rows["seed"]), len(seeds) - 1)
        paired = seeds[match] == self.rows["seed"]
        differences = np.where(paired, self.rows["accuracy"] - accuracies[match], 0.0)
        pairs = self._sum_by_architecture(paired.astype(float))
        unpaired = self.accuracy - self.accuracy[self.bare]
        paired_gain = self._sum_by_architecture(differences) / np.maximum(pairs, 1)
        gain = np.where(pairs > 0, paired_gain, unpaired)
        gain[self.bare] = np.nan
        return gain

    def architecture(self, index: int) -> Architecture:
        """An architecture as a value."""
        return recorded_architecture(self.texts[self.text_indices[index]])

    def summaries(
        self, indices: Iterable[int], more_keys: Sequence[str] = ()
    ) -> list[ArchitectureSummary]:
        """The summaries of some architectures.

        Args:
            indices: of the architectures in this table.
            more_keys: further fields of the rows, whose means are added to `values`.
        """
        summaries = []
        means = {key: self.mean(key) for key in ("accuracy", *COST_COLUMNS, *more_keys)}
        for index in indices:
            in_table = slice(self.first_rows[index], self.first_rows[index + 1])
            rows, corrected = self.rows[in_table], self._corrected_accuracies[in_table]
            error = standard_error(corrected.tolist())
            values = {key: float(mean[index]) for key, mean in means.items()}
            summaries.append(
                ArchitectureSummary(
                    architecture=self.architecture(index),
                    numbers=tuple(rows["number"].tolist()),
                    seeds=tuple(rows["seed"].tolist()),
                    accuracies=tuple(rows["accuracy"].tolist()),
                    values={k: value for k, value in values.items() if not math.isnan(value)},
                    standard_error=error and error * self._seed_effects.error_inflation,
                    baseline=bool(self.baseline[index]),
                    gain=self._gain(index),
                )
            )
        return summaries

    def _gain(self, index: int) -> Gain | None:
        if self.bare is None or index == self.bare:
            return None
        accuracies, bare = self._by_seed(index), self._bare_by_seed
        if accuracies.keys().isdisjoint(bare):
            accuracies, bare = (
                self._by_seed(i, self._corrected_accuracies) for i in (index, self.bare)
            )
        return Gain.between(accuracies, bare)

    @cached_property
    def _bare_by_seed(self) -> dict[int, float]:
        assert self.bare is not None
        return self._by_seed(self.bare)

    def _by_seed(self, index: int, accuracies: Floats | None = None) -> dict[int, float]:
        in_table = slice(self.first_rows[index], self.first_rows[index + 1])
        values = self.rows["accuracy"] if accuracies is None else accuracies
        return dict(
            zip(self.rows["seed"][in_table].tolist(), values[in_table].tolist(), strict=True)
        )

    def _sum_by_architecture(self, values: npt.NDArray[Any]) -> Floats:
        if not len(values):
            return np.zeros(0)
        sums: Floats = np.add.reduceat(values.astype(float), self.first_rows[:-1])
        return sums


def without_seed_effects(rows: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Rows of a `TrialTable`, with seed effects removed from the accuracies of complete trials."""
    corrected = rows.copy()
    complete = complete_rows(rows)
    _, architectures = np.unique(rows["architecture"][complete], return_inverse=True)
    seeds, accuracies = rows["seed"][complete], rows["accuracy"][complete]
    effects = estimate_seed_effects(architectures, seeds, accuracies)
    corrected["accuracy"][complete] = accuracies - effects.of(seeds)
    return corrected
