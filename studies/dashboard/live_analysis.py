"""The analysis of a live study, computed once per version of its trials."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ..analysis.analyse import infer_images
from ..analysis.architecture_table import ArchitectureTable
from ..analysis.best import find_best
from ..analysis.best_so_far import BestSoFar, find_best_so_far
from ..analysis.findings import ArchitectureSummary, Findings
from ..analysis.insertion_index import InsertionIndex
from ..analysis.pareto import comparison_errors, find_front, find_knee
from ..objectives import OBJECTIVES, SCORE, Objective, objectives_of
from .address import Address
from .cache import VersionedCache
from .filters import FilteredStudy
from .live_choices import LiveChoices
from .live_marks import LiveMarks
from .live_trials import LiveTrials

MAX_MARKERS = 500
"""Markers of a figure. If there are more architectures, the figure is divided into cells, and the
best architecture of each cell is drawn."""
MARKER_GRID = (32, 15)
"""Cells of the figure of a metric against a cost: horizontally, vertically."""
TRAINING_TIME = Objective("time", "seconds", "minimize", "Training time", "s")
"""A cost to draw. No search optimises it, because it depends on the load of the machine."""

Indices = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


class LiveAnalysis:
    """Front, tables and findings of a live study.

    An architecture is identified by its index in `architectures`. All methods may be called from
    any thread.
    """

    def __init__(
        self, trials: LiveTrials, choices: LiveChoices, marks: LiveMarks, cache: VersionedCache
    ) -> None:
        """Analyse a study.

        Args:
            trials: of the study.
            choices: of its architectures.
            marks: of its trials.
            cache: of the study.
        """
        self._trials, self._choices, self._marks, self._cache = trials, choices, marks, cache
        self._insertions: InsertionIndex | None = None
        self.objectives = objectives_of(trials.study.objectives)

    def precompute(self) -> None:
        """Compute what every page needs, so that no request waits for it."""
        _ = self.front, self.best

    @property
    def stages(self) -> int:
        """The number of stages: from the study's config, else the highest in an architecture."""
        count = self._trials.study.config.stages
        if count is None:
            with self._cache.lock:
                insertions = InsertionIndex(0).extend(self._trials.table.texts).insertions
            count = max((place.last for i in insertions for place in i.places), default=0)
        return count

    @property
    def costs(self) -> list[Objective]:
        """The study's objectives, then the other costs that were measured, and training time."""
        return self._cache.get("costs", self._costs)

    def _costs(self) -> list[Objective]:
        optimised = [o for o in self.objectives if o.is_cost]
        rows = self._trials.table.rows
        candidates = [*(o for o in OBJECTIVES.values() if o.is_cost), TRAINING_TIME]
        measured = [o for o in candidates if len(rows) and not np.isnan(rows[o.key]).all()]
        return list(dict.fromkeys([*optimised, *measured])) or [OBJECTIVES["params"]]

    @property
    def architectures(self) -> ArchitectureTable:
        """All architectures with a complete trial."""
        return self._cache.get("architectures", self._architectures)

    def _architectures(self) -> ArchitectureTable:
        trials, metrics = self._trials, [o for o in self.objectives if o.is_further]
        recorded = self.metrics if metrics else {}
        further = {
            o.column: {n: o.score_of(row[o.key]) for n, row in recorded.items() if o.key in row}
            for o in metrics
        }
        return ArchitectureTable.of(trials.table, trials.model, further)

    @property
    def insertions(self) -> InsertionIndex:
        """The insertions of all architectures of the study, complete or not."""
        with self._cache.lock:
            texts = self._trials.table.texts
            self._insertions = self._insertions or InsertionIndex(self.stages)
            if self._insertions.count < len(texts):
                self._insertions.extend(texts)
            return self._insertions

    @property
    def front(self) -> list[int]:
        """The architectures on the Pareto front, cheapest first."""
        return self._cache.get("front", self._front)

    def _front(self) -> list[int]:
        architectures = self.architectures
        costs = [o.key for o in self.objectives if o.is_cost]
        others = [o for o in self.objectives if o.column != SCORE]
        signed = [(1 if o.is_cost else -1) * architectures.mean(o.column) for o in others]
        values = np.column_stack([architectures.score, *signed])
        known = np.flatnonzero(~np.isnan(values).any(axis=1))
        is_bare = np.flatnonzero(known == architectures.bare)
        bare = int(is_bare[0]) if len(is_bare) else None
        errors = comparison_errors(architectures.mean, [o.column for o in others])[known]
        front = known[find_front(values[known, 0], values[known, 1:], errors, bare)]
        by_cost = [architectures.mean(key)[front] for key in reversed(costs)]
        order = np.lexsort([-architectures.score[front], *by_cost])
        return [int(index) for index in front[order]]

    @property
    def best(self) -> int | None:
        """The best architecture; None while no trial is complete."""
        return self._cache.get("best", lambda: find_best(self.architectures))

    def findings(self, address: Address | None = None, cost: Objective | None = None) -> Findings:
        """The findings of `analysis.analyse`; `architectures` are those to draw.

        Args:
            address: its filters select the architectures to draw, and its trial is always drawn.
                They change neither the baselines nor the best. None: no filters.
            cost: the horizontal axis, by whose cells architectures are selected if there are too
                many to draw; None: the first cost.
        """
        filters = address.filters if address else ()
        selected = address.trial if address else None
        marks = self._marks.version if address and address.search else ""
        name = ("findings", filters, marks, cost.key if cost else "", selected)
        findings = self._cache.get(name, lambda: self._findings(address, cost))
        return replace(findings, counts=self._trials.counts())

    def _findings(self, address: Address | None, cost: Objective | None) -> Findings:
        architectures, best, bare = self.architectures, self.best, self.architectures.bare
        selected = self._index_of(address.trial if address else None)
        needed = {*self.front, *np.flatnonzero(architectures.baseline).tolist()}
        needed |= {index for index in (bare, best, selected) if index is not None}
        matching = self.matching(address)
        drawn = set(self._drawn(np.flatnonzero(matching), cost or self.costs[0]))
        shown = needed & set(np.flatnonzero(matching | architectures.baseline).tolist())
        indices = sorted(needed | drawn)
        summaries = architectures.summaries(indices, [TRAINING_TIME.key])
        known = dict(zip(indices, summaries, strict=True))
        return Findings(
            objectives=self.objectives,
            counts=self._trials.table.counts(),
            architectures=tuple(known[index] for index in sorted(shown | drawn)),
            front=tuple(known[index] for index in self.front if index in shown),
            bare=None if bare is None else known[bare],
            best=None if best is None else known[best],
            knee=find_knee([known[index] for index in self.front], self.objectives),
            noise=architectures.noise,
            stages=self.stages,
            images=infer_images(self._trials.study, known.values()),
        )

    def summary_of(self, trial: int | None) -> ArchitectureSummary | None:
        """The summary of the architecture of a complete trial; None if there is no such trial."""
        with self._cache.lock:
            index = self._index_of(trial)
            if index is None:
                return None
            return self.architectures.summaries([index], [TRAINING_TIME.key])[0]

    def _index_of(self, trial: int | None) -> int | None:
        """The architecture of a complete trial; None if there is no such trial."""
        architectures = self.architectures
        if trial is None or not len(architectures):
            return None
        rows = np.flatnonzero(architectures.rows["number"] == trial)
        return (
            int(np.searchsorted(architectures.first_rows, rows[0], "right") - 1)
            if len(rows)
            else None
        )

    def matching(self, address: Address | None) -> Mask:
        """(n,) whether each architecture has a complete trial that passes the filters."""
        with self._cache.lock:
            architectures = self.architectures
            if address is None or not address.filtered or not len(architectures):
                return np.ones(len(architectures), dtype=bool)
            passed = self.matching_trials(address, architectures.rows)
            return np.logical_or.reduceat(passed, architectures.first_rows[:-1])

    def matching_trials(self, address: Address, rows: npt.NDArray[Any]) -> Mask:
        """(n,) whether each of some trials passes the filters of an address.

        Args:
            address: has the filters.
            rows: (n,) of the study's trials.
        """
        if not address.filtered:
            return np.ones(len(rows), dtype=bool)
        with self._cache.lock:
            return self._filtered(bool(address.choices)).passing_trials(address, rows)

    @property
    def filtered_study(self) -> FilteredStudy:
        """What filters need to know of the study, without the choices."""
        return self._filtered(with_choices=False)

    def _filtered(self, with_choices: bool) -> FilteredStudy:
        with self._cache.lock:
            table, study = self._trials.table, self._trials.study
            return FilteredStudy(
                self.insertions,
                list(table.texts),
                table.keys,
                study.metric,
                study.further_metrics,
                self.metrics,
                self._choices.read(self.stages)[1] if with_choices else (),
                {number: marks.words for number, marks in self._marks.by_number.items()},
            )

    @property
    def best_so_far(self) -> BestSoFar:
        """The best result as the search proceeded."""
        return self._cache.get("best so far", self._best_so_far, "ended")

    def _best_so_far(self) -> BestSoFar:
        return find_best_so_far(self._trials.rows(), self.architectures)

    @property
    def metrics(self) -> Mapping[int, Mapping[str, float]]:
        """The recorded metrics of complete trials besides their accuracy, by number."""
        trials = self._trials
        return self._cache.get("metrics", lambda: trials.store.metrics.read(trials.study))

    def _drawn(self, indices: Indices, cost: Objective) -> list[int]:
        """All of them; if they are too many, the best of each cell of `MARKER_GRID`."""
        if len(indices) <= MAX_MARKERS:
            return [int(index) for index in indices]
        architectures = self.architectures
        costs, scores = architectures.mean(cost.key)[indices], architectures.score[indices]
        known = ~np.isnan(costs)
        indices, costs, scores = indices[known], costs[known], scores[known]
        order = np.argsort(-scores, kind="stable")
        across, up = MARKER_GRID
        cells = _rank_bins(costs, across) * up + _bins(scores, up)
        _, first = np.unique(cells[order], return_index=True)
        return [int(index) for index in indices[order[first]][:MAX_MARKERS]]


def _rank_bins(values: npt.NDArray[np.float64], bins: int) -> Indices:
    """(n,) the bin of every value, by its rank: all bins hold the same number of values."""
    return _bins(np.argsort(np.argsort(values)).astype(float), bins)


def _bins(values: npt.NDArray[np.float64], bins: int) -> Indices:
    """(n,) the bin of every value; all bins are equally wide."""
    low, high = values.min(), values.max()
    shares = (values - low) / (high - low or 1.0)
    indices: Indices = np.minimum(shares * bins, bins - 1).astype(np.int64)
    return indices
