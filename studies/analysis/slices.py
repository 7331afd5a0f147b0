"""The trials behind the mean of each choice: by stage, attention and reduction ratio."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import numpy as np
import numpy.typing as npt

from ...spaces.attentions.catalogue import ATTENTIONS
from .trial_table import Floats, Ints

NO_ATTENTION = "none"
MAX_SLICES_PER_STAGE = 12
"""Of more, those with the most trials."""


@dataclass(frozen=True, eq=False)
class ChoiceSlice:
    """The n complete trials with one choice in one stage; other stages may have any.

    Attributes:
        stage: such as `s3`.
        attention: its name, or `NO_ATTENTION`.
        ratio: its reduction ratio; empty without one.
        numbers: (n,) of the trials.
        scores: (n,) as measured.
    """

    stage: str
    attention: str
    ratio: str
    numbers: Ints
    scores: Floats

    @property
    def label(self) -> str:
        """`se r=16`, `eca`."""
        return f"{self.attention} r={self.ratio}" if self.ratio else self.attention


def find_slices(
    rows: npt.NDArray[Any], choices: Sequence[Mapping[str, str]], stages: int
) -> list[ChoiceSlice]:
    """The slices of some trials, by stage, then in the order of the catalogue.

    A trial with two attentions in a stage is in two slices of it.

    Args:
        rows: of complete trials, as in `TrialTable.rows`.
        choices: what each architecture has chosen, by column such as `s3.attention`; a row's
            `architecture` is an index here.
        stages: of the backbone.
    """
    rows_of: defaultdict[int, list[int]] = defaultdict(list)
    for row, architecture in enumerate(rows["architecture"].tolist()):
        rows_of[architecture].append(row)
    order = {name: place for place, name in enumerate((NO_ATTENTION, *ATTENTIONS))}
    slices: list[ChoiceSlice] = []
    for stage in (f"s{number}" for number in range(1, stages + 1)):
        members: defaultdict[tuple[str, str], list[int]] = defaultdict(list)
        for architecture, indices in rows_of.items():
            for choice in _choices_of(choices[architecture], stage):
                members[choice] += indices
        most = sorted(members, key=lambda choice: -len(members[choice]))[:MAX_SLICES_PER_STAGE]
        for attention, ratio in sorted(
            most, key=lambda c: (order.get(c[0], len(order)), c[0], len(c[1]), c[1])
        ):
            chosen = rows[np.array(members[attention, ratio])]
            numbers, scores = np.asarray(chosen["number"]), np.asarray(chosen["score"])
            slices.append(ChoiceSlice(stage, attention, ratio, numbers, scores))
    return slices


def _choices_of(chosen: Mapping[str, str], stage: str) -> set[tuple[str, str]]:
    """The attentions of a stage with their ratios."""
    attentions = chosen.get(f"{stage}.attention", NO_ATTENTION).split("+")
    ratios = chosen.get(f"{stage}.ratio", "").split("+")
    return set(zip_longest(attentions, ratios[: len(attentions)], fillvalue=""))
