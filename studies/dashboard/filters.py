"""Which trials and architectures pass the filters of an address.

One insertion has to pass the filters of attention, position, stage and ratio together: `se` and
`s3` are SE in stage 3, and not SE somewhere and anything in stage 3.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from ...runners.metrics import recorded_metric
from ...spaces.architecture import Insertion
from ..analysis.analyse import reaches_stage
from ..analysis.insertion_index import InsertionIndex
from ..analysis.trial_table import Floats
from ..objectives import SCORE, Objective, objective_of
from ..records import COST_KEYS, STATES
from ..text.metric_format import MetricFormat
from .address import MAX_TRIAL_DIGITS, Address

Flags = npt.NDArray[np.bool_]
ROW_KEYS = ("number", "seed", "epochs", *COST_KEYS, "seconds")
"""The numbers of a trial that are read from its row as they are."""
_STAGE = re.compile(r"s(\d{1,4})", re.ASCII)
_COMPARISON = re.compile(r"([a-z_]\w*)(<=?|>=?|=)(-?\d+(?:\.\d+)?)([kmg]?)", re.ASCII)
_COMPARE: dict[str, Callable[[Floats, float], Any]] = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge, "=": operator.eq
}  # fmt: skip
_FACTORS = {"": 1.0, "k": 1e3, "m": 1e6, "g": 1e9}
MIN_KEY_LENGTH = 4
"""A word of a search with so many characters may be the beginning of an architecture's key."""


@dataclass(frozen=True)
class TrialRange:
    """A filter of one number of a trial.

    Attributes:
        key: as `trial_values` takes it.
        low, high: the ends, which pass, as tables print the number; infinite without an end.
    """

    key: str
    low: float
    high: float

    @classmethod
    def of(cls, text: str) -> TrialRange | None:
        """The range of a text `KEY:LOW:HIGH`, in which an end may be empty; None for another."""
        key, *ends = text.rsplit(":", 2)
        if len(ends) != 2 or not key:
            return None
        try:
            low, high = float(ends[0] or -math.inf), float(ends[1] or math.inf)
        except ValueError:
            return None
        return None if math.isnan(low) or math.isnan(high) else cls(key, low, high)

    @property
    def text(self) -> str:
        """What `of` reads."""
        ends = ("" if math.isinf(end) else f"{end:.12g}" for end in (self.low, self.high))
        return ":".join((self.key, *ends))


def read_ranges(address: Address) -> Iterator[TrialRange]:
    """The ranges of an address, without those that make no sense."""
    ranges = map(TrialRange.of, address.ranges)
    return (each for each in ranges if each is not None)


@dataclass(frozen=True)
class ChoiceFilter:
    """A filter of what architectures have chosen in one place.

    Attributes:
        column: such as `s3.attention`.
        values: those that pass; an empty text is no choice.
    """

    column: str
    values: tuple[str, ...]

    @classmethod
    def of(cls, text: str) -> ChoiceFilter | None:
        """The filter of a text `COLUMN:VALUE|VALUE`; None for another."""
        column, colon, values = text.partition(":")
        return cls(column, tuple(values.split("|"))) if column and colon else None

    @property
    def text(self) -> str:
        """What `of` reads."""
        return f"{self.column}:{'|'.join(self.values)}"


def read_choices(address: Address) -> Iterator[ChoiceFilter]:
    """The filters of choices of an address, without those that make no sense."""
    return (each for each in map(ChoiceFilter.of, address.choices) if each is not None)


@dataclass(frozen=True)
class FilteredStudy:
    """What filters need to know of a study.

    Attributes:
        index: the insertions of its architectures.
        texts, keys: of its architectures; a row's `architecture` is an index here.
        metric: that it searches for.
        further: the metrics that are objectives beside it.
        metrics: recorded metrics besides the accuracy by number of the trial.
        choices: what each architecture has chosen, by column.
        marks: the words of the marks of trials, in lower case, by number.
    """

    index: InsertionIndex
    texts: Sequence[str]
    keys: Sequence[str]
    metric: Objective
    further: Sequence[Objective]
    metrics: Mapping[int, Mapping[str, float]]
    choices: Sequence[Mapping[str, str]] = ()
    marks: Mapping[int, str] = field(default_factory=dict)

    def passing_trials(self, address: Address, rows: npt.NDArray[Any]) -> Flags:
        """(n,) whether each of the n trials passes all filters.

        Args:
            address: has the filters.
            rows: (n,) of trials, as in `TrialTable.rows`.
        """
        passed: Flags = self._passing_architectures(address)[rows["architecture"]]
        if address.state:
            wanted = [code for code, state in enumerate(STATES) if state in address.state]
            passed &= np.isin(rows["state"], wanted)
        for word in (address.search or "").lower().split():
            passed &= self._having_word(word, rows)
        for each in read_ranges(address):
            values = self.trial_values(each.key, rows)
            with np.errstate(invalid="ignore"):  # A number that is not known passes no range.
                passed &= (values >= each.low) & (values <= each.high)
        return passed

    def trial_values(self, key: str, rows: npt.NDArray[Any]) -> Floats:
        """(n,) a number of each trial, as tables print it; NaN where it is not known.

        Args:
            key: `SCORE` for the metric that is searched for, a field of `ROW_KEYS`, or the key of
                another recorded metric.
            rows: (n,) of trials.
        """
        if key in ROW_KEYS:
            return np.asarray(rows[key], dtype=float)
        if key == SCORE:
            form = MetricFormat(self.metric)
            sign = -1 if form.is_reversed else 1
            return np.asarray((100 if form.in_percent else 1) * sign * rows["score"])
        recorded = (self.metrics.get(int(number), {}).get(key) for number in rows["number"])
        values = np.array([np.nan if value is None else value for value in recorded], float)
        return 100 * values if self.metric_of(key).in_percent else values

    def metric_of(self, key: str) -> MetricFormat:
        """How the values of a recorded metric are printed."""
        known = {each.key: each for each in self.further}
        return MetricFormat(known.get(key) or objective_of(recorded_metric(key)))

    def _key_of(self, name: str) -> str | None:
        """The key of a number that a search names, in lower case; None if there is none."""
        recorded = {key for each in self.metrics.values() for key in each}
        names = {key.lower(): key for key in (*ROW_KEYS, *recorded)}
        names |= {SCORE: SCORE, self.metric.key.lower(): SCORE, "latency": "latency_ms"}
        return names.get(name)

    def _passing_architectures(self, address: Address) -> Flags:
        """(architectures,) whether each passes the filters of insertions and choices."""
        passed: Flags = np.ones(len(self.texts), dtype=bool)
        if address.attention or address.position or address.stage or address.ratio:
            having = self.index.having([_passes(i, address) for i in self.index.insertions])
            passed = having[: len(self.texts)]
        for each in read_choices(address):
            passed &= [chosen.get(each.column, "") in each.values for chosen in self.choices]
        return passed

    def _having_word(self, word: str, rows: npt.NDArray[Any]) -> Flags:
        """(n,) whether a word is in the text, key, number or state of each trial.

        A word such as `params<3M` or `seed>=2` compares a number.
        """
        if (compared := _COMPARISON.fullmatch(word)) and (key := self._key_of(compared[1])):
            values, number = self.trial_values(key, rows), float(compared[3])
            number *= _FACTORS[compared[4]]
            return np.asarray(_COMPARE[compared[2]](values, number))
        if stage := _STAGE.fullmatch(word):  # As the filter of stages: `all` and `s2-s4` have s3.
            reached = [reaches_stage(i, int(stage[1])) for i in self.index.insertions]
            passed: Flags = self.index.having(reached)[: len(self.texts)]
            return np.asarray(passed[rows["architecture"]])
        is_key = len(word) >= MIN_KEY_LENGTH
        pairs = zip(self.texts, self.keys, strict=True)
        matches = [word in text.lower() or (is_key and key.startswith(word)) for text, key in pairs]
        passed = np.array(matches, dtype=bool)[rows["architecture"]]
        if word.isdecimal() and len(word) <= MAX_TRIAL_DIGITS:
            passed |= rows["number"] == int(word)
        if marked := [number for number, words in self.marks.items() if word in words]:
            passed |= np.isin(rows["number"], marked)
        if word in STATES:
            passed |= rows["state"] == STATES.index(word)
        return passed


def _passes(insertion: Insertion, address: Address) -> bool:
    """Whether one insertion has one of the values of each filter."""
    ratio = str(dict(insertion.options).get("r"))
    stages = [int(name[1:]) for name in address.stage if name[1:].isdecimal()]
    return (
        (not address.attention or insertion.attention in address.attention)
        and (not address.position or insertion.position in address.position)
        and (not address.ratio or ratio in address.ratio)
        and (not address.stage or any(reaches_stage(insertion, stage) for stage in stages))
    )
