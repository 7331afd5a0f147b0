"""The columns of the table of trials: how each is titled, sorted and printed."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property, partial
from typing import Any

import numpy as np
import numpy.typing as npt
from dash import dcc, html

from ..analysis.trial_table import COMPLETE, FAILED, RUNNING, Ints
from ..objectives import BY_KEY, SCORE, Objective
from ..records import LOADS, STATES, TrialRecord
from ..text import formatting
from ..text.metric_format import MetricFormat, objective_value
from .components import Component, short_architecture
from .context import PageContext

Rows = npt.NDArray[Any]
MAX_MESSAGE_LENGTH = 160
"""Characters of a failure's message in the table."""
DEFAULT_COLUMNS = ("number", "architecture", "state", "seed", "epochs", SCORE, "gain")
"""Those that are shown without a choice; the study's other objectives and the time follow."""

LOAD_TITLES = dict(zip(LOADS, ("CPU load", "GPU load"), strict=True))


@dataclass(frozen=True)
class TrialColumn:
    """One column.

    Attributes:
        key: in the address.
        title: at its head, with the unit if cells have none.
        values: (n,) what rows are sorted by; NaN or an empty text where it is not known.
        cell: what a row shows.
        is_number: whether it is aligned to the right.
        downwards: whether the best values are the highest, so that a first click puts them on top.
        sortable: whether rows can be sorted by it.
    """

    key: str
    title: str
    values: Callable[[Rows], npt.NDArray[Any]]
    cell: Callable[[Any], Component]
    is_number: bool = True
    downwards: bool = False
    sortable: bool = True


class TrialColumns:
    """All columns of the trials of a study.

    Args:
        context: of the page.
    """

    def __init__(self, context: PageContext) -> None:
        self._context, self._state = context, context.state
        self._analysis = context.state.analysis
        self._form = MetricFormat(context.state.study.metric)
        self._filtered = self._analysis.filtered_study
        self._texts = self._filtered.texts
        self._workers = list(context.state.trials.table.workers)
        self._columns = {column.key: column for column in self._make_columns()}
        self._records: dict[int, TrialRecord] = {}

    @property
    def all(self) -> Mapping[str, TrialColumn]:
        """All of them by their key, in the order of the table."""
        return self._columns

    @property
    def default(self) -> list[str]:
        """The keys of the columns that are shown without a choice."""
        costs = [o.key for o in self._analysis.objectives if o.is_cost] or ["params"]
        further = [o.key for o in self._state.study.further_metrics]
        marked = ["starred", "tags"] if self._state.marks.by_number else []
        keys = (*marked, *DEFAULT_COLUMNS, *further, *costs, "seconds")
        return [key for key in keys if key in self._columns]

    @cached_property
    def shown(self) -> list[TrialColumn]:
        """The columns that the address names, or the default ones."""
        chosen = [key for key in self._context.address.columns if key in self._columns]
        return [self._columns[key] for key in chosen or self.default]

    def sort(self, rows: Rows) -> Rows:
        """Rows in the order of the address; without one, complete trials first, the best on top.

        Rows whose value is not known are last, whichever way they are sorted.
        """
        sort = self._context.address.sort or ""
        column = self._columns.get(sort.removeprefix("-"))
        if column is None or not column.sortable:
            score = np.where(rows["state"] == COMPLETE, rows["score"], np.nan)
            return rows[np.lexsort((-rows["number"], -score, np.isnan(score)))]
        values = column.values(rows)
        if values.dtype.kind == "f":
            unknown, ranks = np.isnan(values), values
        else:
            unknown, ranks = values == "", np.unique(values, return_inverse=True)[1]
        signed = -ranks if sort.startswith("-") else ranks
        return rows[np.lexsort((rows["number"], signed, unknown))]

    def read_records(self, rows: Rows) -> None:
        """Read in full what the table of rows lacks: why these trials have ended early."""
        needs_all = any(column.key == "note" for column in self.shown)
        wanted = rows if needs_all else rows[rows["state"] == FAILED]
        records = self._state.records.trials(wanted["number"].tolist()) if len(wanted) else []
        self._records = {record.number: record for record in records}

    def _make_columns(self) -> Iterator[TrialColumn]:
        marks = self._state.marks
        yield TrialColumn(
            "starred",
            "Star",
            lambda rows: np.array([marks.of(int(n)).starred for n in rows["number"]], float),
            lambda row: _star(marks.of(int(row["number"])).starred),
            is_number=False,
            downwards=True,
        )
        yield self._choice("tags", "Tags", lambda row: ", ".join(marks.of(int(row["number"])).tags))
        yield self._choice("remark", "Note", lambda row: marks.of(int(row["number"])).note)
        yield self._number("number", "Trial")
        texts = np.array([_sorting_text(text) for text in self._texts] or [""])
        yield TrialColumn(
            "architecture",
            "Architecture",
            lambda rows: texts[rows["architecture"]],
            self._architecture,
            is_number=False,
        )
        states = np.array(STATES)
        yield TrialColumn(
            "state", "State", lambda rows: states[rows["state"]], self._state_cell, is_number=False
        )
        yield self._number("seed", "Seed")
        yield self._number("epochs", "Epochs")
        yield TrialColumn(
            SCORE,
            self._form.metric.heading,
            lambda rows: self._filtered.trial_values(SCORE, rows),
            self._score,
            downwards=not self._form.is_reversed,
        )
        gain = f"Gain, {self._form.unit}" if self._form.unit else "Gain"
        yield TrialColumn("gain", gain, self._gains, self._gain, downwards=True)
        yield from self._metric_columns()
        yield from self._cost_columns()
        yield self._number("seconds", "Time", formatting.duration)
        for load, title in LOAD_TITLES.items():
            yield self._number(load, title, formatting.share)
        yield self._choice("worker", "Worker", self._worker)
        yield TrialColumn("started", "Started, UTC", lambda rows: rows["started"], _started)
        yield replace(self._choice("note", "Why it ended", self._note), sortable=False)
        names, choices = self._state.choices.read(self._analysis.stages)
        for name in names:
            yield self._choice(name, name, partial(_chosen, choices, name))

    def _number(
        self, key: str, title: str, print_value: Callable[[float], str] | None = None
    ) -> TrialColumn:
        def cell(row: Any) -> str:
            value = float(row[key])
            if math.isnan(value):
                return formatting.MISSING
            return print_value(value) if print_value else str(int(value))

        return TrialColumn(key, title, lambda rows: rows[key].astype(float), cell)

    def _choice(self, key: str, title: str, text: Callable[[Any], str]) -> TrialColumn:
        """A column of texts."""

        def values(rows: Rows) -> npt.NDArray[Any]:
            return np.array([text(row) for row in rows], dtype=str)

        return TrialColumn(
            key, title, values, lambda row: text(row) or formatting.MISSING, is_number=False
        )

    def _metric_columns(self) -> Iterator[TrialColumn]:
        """Further metrics that are objectives, and then others that were recorded."""
        recorded = dict.fromkeys(key for each in self._filtered.metrics.values() for key in each)
        further = [each.key for each in self._state.study.further_metrics]
        for key in dict.fromkeys([*further, *recorded]):
            if key == self._form.metric.key:
                continue
            form = self._filtered.metric_of(key)
            yield TrialColumn(
                key,
                form.metric.heading,
                partial(self._filtered.trial_values, key),
                partial(self._metric, key, form),
                downwards=not form.is_reversed,
            )
        if self._form.metric.key != "accuracy" and self._has_accuracies:
            yield self._number("accuracy", BY_KEY["accuracy"].heading, formatting.percent)

    @property
    def _has_accuracies(self) -> bool:
        return not np.isnan(self._state.trials.rows()["accuracy"]).all()

    def _cost_columns(self) -> Iterator[TrialColumn]:
        for cost in self._analysis.costs:
            if cost.key == "seconds":
                continue
            values = partial(self._filtered.trial_values, cost.key)
            yield TrialColumn(cost.key, cost.heading, values, partial(_cost, cost))

    # --- cells ---

    def _architecture(self, row: Any) -> Component:
        link = dcc.Link(
            short_architecture(self._texts[row["architecture"]]),
            href=self._context.address.with_changes({"trial": int(row["number"])}).query,
        )
        index = int(self._architecture_of_text[row["architecture"]])
        tags = {
            "best": index >= 0 and index == self._analysis.best,
            "front": index >= 0 and index in self._front,
            "baseline": bool(row["baseline"]),
        }
        return html.Span(
            [link, *(html.Span(tag, className="tag") for tag, applies in tags.items() if applies)]
        )

    @cached_property
    def _front(self) -> set[int]:
        return set(self._analysis.front)

    def _state_cell(self, row: Any) -> Component:
        if row["state"] == RUNNING and not self._state.trials.has_coordinator:
            return "unfinished"
        if row["state"] != FAILED:
            return STATES[row["state"]]
        failure = getattr(self._records.get(int(row["number"])), "failure", None)
        return html.Span(failure.kind if failure else STATES[FAILED], className="tag bad")

    def _score(self, row: Any) -> str:
        latest = self._state.trials.latest_epochs.get(int(row["number"]))
        if row["state"] == RUNNING and latest is not None:
            score = latest.report.score
            return formatting.MISSING if math.isnan(score) else f"{self._form.value(score)} so far"
        return self._form.value(None if math.isnan(row["score"]) else float(row["score"]))

    def _metric(self, key: str, form: MetricFormat, row: Any) -> str:
        value = self._filtered.metrics.get(int(row["number"]), {}).get(key)
        return form.value(None if value is None else form.metric.score_of(value))

    @cached_property
    def _architecture_of_text(self) -> Ints:
        """(texts,) the index of each architecture among those with a complete trial, or −1."""
        indices = np.full(len(self._texts) + 1, -1, dtype=np.int64)
        known = self._analysis.architectures.text_indices
        known = known[known < len(self._texts)]
        indices[known] = np.arange(len(known))
        return indices

    def _gains(self, rows: Rows) -> npt.NDArray[Any]:
        gains = np.append(self._analysis.architectures.gain, np.nan)
        return np.asarray(gains[self._architecture_of_text[rows["architecture"]]])

    def _gain(self, row: Any) -> str:
        index, table = self._architecture_of_text[row["architecture"]], self._analysis.architectures
        if index < 0 or math.isnan(table.gain[index]):
            return formatting.MISSING
        return self._form.gain(float(table.gain[index]), float(table.estimate.gain_error[index]))

    def _worker(self, row: Any) -> str:
        known = 0 <= row["worker"] < len(self._workers)
        return self._workers[row["worker"]] if known else ""

    def _note(self, row: Any) -> str:
        record = self._records.get(int(row["number"]))
        if record is None:
            return ""
        if record.failure is not None:
            return f"{record.failure.kind}: {record.failure.message}"[:MAX_MESSAGE_LENGTH]
        return record.note or ""


def _star(starred: bool) -> Component:
    return html.Span("★", role="img", **{"aria-label": "starred"}) if starred else ""


def _cost(cost: Objective, row: Any) -> str:
    names = [name for name in (cost.key, f"{cost.key}_error") if name in row.dtype.names]
    values = {name: float(row[name]) for name in names if not math.isnan(row[name])}
    return objective_value(values, cost)


def _chosen(choices: Sequence[Mapping[str, str]], name: str, row: Any) -> str:
    chosen: str = choices[row["architecture"]].get(name, "")
    return chosen


def _sorting_text(text: str) -> str:
    """What architectures are sorted by: their text without the backbone."""
    return text.partition("+")[2] or text


def _started(row: Any) -> str:
    if math.isnan(row["started"]):
        return formatting.MISSING
    return datetime.fromtimestamp(float(row["started"]), UTC).strftime("%Y-%m-%d %H:%M:%S")
