"""An index of insertions: which architectures of a study have which attention where.

The texts of a study consist of few distinct insertions. Each is parsed once, and an architecture is
stored as a few indices, so that the mean gain of "SE in stage 3" is a fast numpy operation. The
results equal those of `analyse`.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ...spaces.architecture import POSITIONS, Insertion
from ...spaces.attentions.catalogue import ATTENTIONS
from ..records import recorded_insertion
from .analyse import NONE, reaches_stage
from .findings import AttentionTable, MeanGain

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]


ANYWHERE = 0
"""Used in place of a stage if the number of stages is unknown."""


class InsertionIndex:
    """The insertions of architectures, which are identified by the index of their text.

    Args:
        stages: of the backbone; 0 if it is unknown.

    Attributes:
        count: architectures in the index.
        insertions: all distinct ones.
    """

    def __init__(self, stages: int) -> None:
        self.stages = stages
        self.count = 0
        self.insertions: list[Insertion] = []
        self._index_of_text: dict[str, int] = {}
        # One entry for each insertion of each architecture.
        self._architecture = np.zeros(0, dtype=np.int64)
        self._insertion = np.zeros(0, dtype=np.int64)

    def extend(self, texts: Sequence[str]) -> InsertionIndex:
        """Add all texts but the first `count`, which the index has already; return the index."""
        known, parts = self._index_of_text, [text.split("+")[1:] for text in texts[self.count :]]
        architecture = np.repeat(np.arange(self.count, len(texts)), [len(part) for part in parts])
        flat = itertools.chain.from_iterable(parts)
        indices = (known.setdefault(text, len(known)) for text in flat)
        insertion = np.fromiter(indices, np.int64, len(architecture))
        self.insertions += map(recorded_insertion, list(known)[len(self.insertions) :])
        self._architecture = np.concatenate([self._architecture, architecture])
        self._insertion = np.concatenate([self._insertion, insertion])
        self.count = len(texts)
        return self

    @property
    def attentions(self) -> list[str]:
        """The attentions that occur: in the catalogue's order, then those of plug-ins by name."""
        present = {insertion.attention for insertion in self.insertions}
        return [*(n for n in ATTENTIONS if n in present), *sorted(present - set(ATTENTIONS))]

    def having(self, chosen: Sequence[bool]) -> Flags:
        """(count,) whether each architecture has one of the chosen insertions.

        `chosen` has a value for each of `insertions`.
        """
        flags = np.array(chosen, dtype=bool)
        matches = np.zeros(self.count, dtype=bool)
        if len(flags):
            matches[self._architecture[flags[self._insertion]]] = True
        return matches

    def having_in_stage(self, attention: str, stage: int) -> Flags:
        """(count,) whether each architecture has an attention in a stage, or `ANYWHERE`."""
        return self.having(
            [
                i.attention == attention and (stage == ANYWHERE or reaches_stage(i, stage))
                for i in self.insertions
            ]
        )

    def stage_table(self, gains: Floats) -> AttentionTable:
        """Mean gains by attention and stage, as `analyse.tabulate_gains` returns them.

        `gains` (count,) are NaN for the bare backbone and for architectures without a complete
        trial.
        """
        columns = [f"s{stage}" for stage in range(1, self.stages + 1)] or ["all"]
        first = 1 if self.stages else ANYWHERE
        rows = {
            (name, column): self.having_in_stage(name, stage)
            for name in self.attentions
            for stage, column in enumerate(columns, first)
        }
        for column in columns:
            taken = [flags for (_, where), flags in rows.items() if where == column]
            rows[NONE, column] = ~np.any(taken, axis=0) if taken else np.ones(self.count, bool)
        return _table(rows, [*self.attentions, NONE], columns, gains)

    def position_table(self, gains: Floats) -> AttentionTable:
        """Mean gains by attention and position, over all stages; `gains` as in `stage_table`."""
        present = {insertion.position for insertion in self.insertions}
        columns = [position for position in POSITIONS if position in present]
        rows = {
            (name, column): self.having(
                [(i.attention, i.position) == (name, column) for i in self.insertions]
            )
            for name in self.attentions
            for column in columns
        }
        return _table(rows, self.attentions, columns, gains)

    def ratio_curves(self, gains: Floats) -> dict[str, list[tuple[int, MeanGain]]]:
        """By attention, its ratios with the mean gain of each; `gains` as in `stage_table`."""
        curves: dict[str, list[tuple[int, MeanGain]]] = {}
        for name in self.attentions:
            ratios = [
                dict(i.options).get("r") if i.attention == name else None for i in self.insertions
            ]
            for ratio in sorted({r for r in ratios if isinstance(r, int)}):
                cell = _mean_gain(gains[self.having([r == ratio for r in ratios])])
                if cell is not None:
                    curves.setdefault(name, []).append((ratio, cell))
        return curves


def _table(
    flags: dict[tuple[str, str], Flags],
    rows: Sequence[str],
    columns: Sequence[str],
    gains: Floats,
) -> AttentionTable:
    cells = {
        where: cell
        for where, chosen in flags.items()
        if (cell := _mean_gain(gains[chosen])) is not None
    }
    present = tuple(row for row in rows if any(name == row for name, _ in cells))
    return AttentionTable(present, tuple(columns) if present else (), cells)


def _mean_gain(gains: Floats) -> MeanGain | None:
    gains = gains[~np.isnan(gains)]
    if not len(gains):
        return None
    error = float(gains.std(ddof=1) / np.sqrt(len(gains))) if len(gains) > 1 else None
    return MeanGain(float(gains.mean()), error, len(gains))
