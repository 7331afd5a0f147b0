"""The architectures of a search as arrays: estimated scores, gains and mean costs."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from ...spaces.architecture import Architecture
from ..estimator.study_estimate import StudyEstimate
from ..estimator.study_model import StudyModel
from ..objectives import SCORE
from ..records import recorded_architecture
from .findings import ArchitectureSummary, Noise
from .trial_table import (
    COMPLETE,
    COST_COLUMNS,
    Floats,
    Ints,
    TrialTable,
    complete_rows,
    pruned_rows,
)


@dataclass(frozen=True)
class ArchitectureTable:
    """The architectures that have a complete trial, in the order of their first one.

    Attributes:
        texts, keys: of all architectures in the `TrialTable`.
        text_indices: (n,) the index of each architecture in `texts`.
        rows: of the complete trials: those of one architecture together, by number.
        first_rows: (n + 1,) the index in `rows` at which each architecture's trials begin.
        baseline: (n,) whether it is one of the study's baselines.
        model: of the study, with all trials that have ended.
        further: scores of further metrics that are objectives, by `Objective.column` and number.
    """

    texts: Sequence[str]
    keys: Sequence[str]
    text_indices: Ints
    rows: npt.NDArray[Any]
    first_rows: Ints
    baseline: npt.NDArray[np.bool_]
    model: StudyModel
    further: Mapping[str, Mapping[int, float]] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        table: TrialTable,
        model: StudyModel,
        further: Mapping[str, Mapping[int, float]] | None = None,
    ) -> ArchitectureTable:
        """The architectures of a table; the result does not change with the table.

        Args:
            table: the trials of a search.
            model: of the study, with its epochs; the trials that it lacks are added to it.
            further: see the attribute.
        """
        rows = table.rows
        complete = complete_rows(rows)
        _add_trials(model, table.texts, rows[np.concatenate([complete, pruned_rows(rows)])])
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
            table.keys,
            text_indices,
            rows[complete[by_architecture[sources]]],
            first_rows,
            np.isin(text_indices, baselines),
            model,
            further or {},
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
        """(n,) estimated scores for `SCORE` and further metrics, or the mean of a cost.

        NaN where a trial lacks it.
        """
        if key == SCORE:
            return self.score
        if key in self.further and key not in self._means:
            self._means[key] = self._estimate_further(self.further[key])
        if key not in self._means:
            sums = self._sum_by_architecture(self.rows[key])
            self._means[key] = sums / np.maximum(self.counts, 1)
        return self._means[key]

    @cached_property
    def _means(self) -> dict[str, Floats]:
        return {}

    @cached_property
    def estimate(self) -> StudyEstimate:
        """The estimate of all accuracies and gains."""
        return self.model.estimate([self.keys[i] for i in self.text_indices.tolist()], self.bare)

    def _estimate_further(self, scores: Mapping[int, float]) -> Floats:
        """(n,) the scores of a further metric, estimated by a model of its own, as those of the
        metric that is searched for are; NaN without any.

        Args:
            scores: by the number of the trial.
        """
        model = self.model.without_trials()
        keys = [self.keys[i] for i in self.text_indices.tolist()]
        known: set[int] = set()
        for row, index in zip(self.rows, np.repeat(np.arange(len(self)), self.counts), strict=True):
            if (score := scores.get(int(row["number"]))) is not None:
                architecture = self.architecture(int(index))
                model.add_trial(int(row["number"]), architecture, int(row["seed"]), score)
                known.add(int(index))
        estimates = np.full(len(self), np.nan)
        if known:
            indices = sorted(known)
            bare = indices.index(self.bare) if self.bare in known else None
            estimate = model.estimate([keys[i] for i in indices], bare)
            estimates[indices] = estimate.accuracy
        return estimates

    @property
    def score(self) -> Floats:
        """(n,) estimated scores, for an average seed."""
        return self.estimate.accuracy

    @property
    def gain(self) -> Floats:
        """(n,) score minus that of the bare backbone.

        NaN for the bare backbone itself, and for all while it has no complete trial.
        """
        return self.estimate.gain

    @cached_property
    def bare(self) -> int | None:
        """The index of the bare backbone; None if it has no complete trial."""
        baselines_first = itertools.chain(np.flatnonzero(self.baseline).tolist(), range(len(self)))
        plain = (i for i in baselines_first if "+" not in self.texts[self.text_indices[i]])
        return next((i for i in plain if self.architecture(i).bare), None)

    @property
    def noise(self) -> Noise | None:
        """The scatter of a trial; None while no trial is complete."""
        if not len(self):
            return None
        repeats, estimate = len(self.rows) - len(self), self.estimate
        return Noise(
            estimate.trial_deviation, estimate.seed_deviation, repeats, estimate.seed_effects
        )

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
        means = {key: self.mean(key) for key in (SCORE, *COST_COLUMNS, *self.further, *more_keys)}
        return [self._summary(index, means) for index in indices]

    def _summary(self, index: int, means: Mapping[str, Floats]) -> ArchitectureSummary:
        rows = self.rows[self.first_rows[index] : self.first_rows[index + 1]]
        values = {key: float(mean[index]) for key, mean in means.items()}
        estimate, has_gain = self.estimate, not math.isnan(self.gain[index])
        return ArchitectureSummary(
            architecture=self.architecture(index),
            numbers=tuple(rows["number"].tolist()),
            seeds=tuple(rows["seed"].tolist()),
            scores=tuple(rows["score"].tolist()),
            accuracies=tuple(rows["accuracy"].tolist()),
            values={key: value for key, value in values.items() if not math.isnan(value)},
            standard_error=float(estimate.standard_error[index]),
            gain=float(estimate.gain[index]) if has_gain else None,
            gain_error=float(estimate.gain_error[index]) if has_gain else None,
            baseline=bool(self.baseline[index]),
        )

    def _sum_by_architecture(self, values: npt.NDArray[Any]) -> Floats:
        if not len(values):
            return np.zeros(0)
        sums: Floats = np.add.reduceat(values.astype(float), self.first_rows[:-1])
        return sums


def _add_trials(model: StudyModel, texts: Sequence[str], rows: npt.NDArray[Any]) -> None:
    """Add to a model the trials that it lacks.

    Args:
        model: of the study.
        texts: of all architectures of a `TrialTable`.
        rows: of its trials that are complete or pruned.
    """
    rows = rows[model.unknown(rows["number"].tolist())]
    columns = (rows[name].tolist() for name in ("number", "architecture", "seed", SCORE))
    is_complete = (rows["state"] == COMPLETE).tolist()
    for complete, number, index, seed, score in zip(is_complete, *columns, strict=True):
        architecture = recorded_architecture(texts[index])
        model.add_trial(number, architecture, seed, score if complete else None)
