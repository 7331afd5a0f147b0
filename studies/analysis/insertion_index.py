"""Which attention stands where, for all architectures of a study at once.

A study's texts are made of few different insertions. Each is read once; an architecture is then a
handful of numbers, and questions such as "what was gained with SE in stage 3" are counted, not
parsed. The answers are those of `analysis`.
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
"""In the place of a stage, where a study does not say how many its backbone has."""


class InsertionIndex:
    """What the architectures that a study knows are made of, by their place among its texts.

    Made for a backbone with so many stages; `extend` it as texts are added.
    """

    def __init__(self, stages: int) -> None:
        self.stages = stages
        self.count = 0
        self.insertions: list[Insertion] = []
        self._known: dict[str, int] = {}
        self._owner = np.zeros(0, dtype=np.int64)
        self._what = np.zeros(0, dtype=np.int64)

    def extend(self, texts: Sequence[str]) -> InsertionIndex:
        """Read the texts beyond those that are known; itself."""
        known, parts = self._known, [text.split("+")[1:] for text in texts[self.count :]]
        owner = np.repeat(np.arange(self.count, len(texts)), [len(part) for part in parts])
        flat = itertools.chain.from_iterable(parts)
        what = np.fromiter((known.setdefault(p, len(known)) for p in flat), np.int64, len(owner))
        self.insertions += map(recorded_insertion, list(known)[len(self.insertions) :])
        self._owner = np.concatenate([self._owner, owner])
        self._what = np.concatenate([self._what, what])
        self.count = len(texts)
        return self

    @property
    def attentions(self) -> list[str]:
        """Those that occur, in the catalogue's order, then people's own."""
        present = {insertion.attention for insertion in self.insertions}
        return [*(n for n in ATTENTIONS if n in present), *sorted(present - set(ATTENTIONS))]

    def having(self, chosen: Sequence[bool]) -> Flags:
        """(count,) which architectures have one of the insertions that are chosen."""
        flags = np.array(chosen, dtype=bool)
        found = np.zeros(self.count, dtype=bool)
        if len(flags):
            found[self._owner[flags[self._what]]] = True
        return found

    def having_in_stage(self, attention: str, stage: int) -> Flags:
        """(count,) whether an architecture has the attention in a stage, or `ANYWHERE`."""
        return self.having(
            [
                i.attention == attention and (stage == ANYWHERE or reaches_stage(i, stage))
                for i in self.insertions
            ]
        )

    def stage_table(self, gains: Floats) -> AttentionTable:
        """Mean gain by attention and stage, as `analysis.tabulate_gains` has it.

        `gains` (count,) are NaN for the bare backbone and where nothing is complete.
        """
        columns = [f"s{stage}" for stage in range(1, self.stages + 1)] or ["all"]
        first = 1 if self.stages else ANYWHERE
        rows = {
            (name, column): self.having_in_stage(name, stage)
            for name in self.attentions
            for stage, column in enumerate(columns, first)
        }
        for column in columns:
            others = [flags for (_, where), flags in rows.items() if where == column]
            rows[NONE, column] = ~np.any(others, axis=0) if others else np.ones(self.count, bool)
        return _table(rows, [*self.attentions, NONE], columns, gains)

    def position_table(self, gains: Floats) -> AttentionTable:
        """Mean gain of the architectures that have an attention at a position, anywhere."""
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
        """By attention: mean gain of the architectures that have it with each ratio."""
        found: dict[str, list[tuple[int, MeanGain]]] = {}
        for name in self.attentions:
            own = [
                dict(i.options).get("r") if i.attention == name else None for i in self.insertions
            ]
            for ratio in sorted({r for r in own if isinstance(r, int)}):
                cell = _cell(gains[self.having([r == ratio for r in own])])
                if cell is not None:
                    found.setdefault(name, []).append((ratio, cell))
        return found


def _table(
    flags: dict[tuple[str, str], Flags],
    rows: Sequence[str],
    columns: Sequence[str],
    gains: Floats,
) -> AttentionTable:
    cells = {
        where: cell for where, chosen in flags.items() if (cell := _cell(gains[chosen])) is not None
    }
    present = tuple(row for row in rows if any(name == row for name, _ in cells))
    return AttentionTable(present, tuple(columns) if present else (), cells)


def _cell(gains: Floats) -> MeanGain | None:
    gains = gains[~np.isnan(gains)]
    if not len(gains):
        return None
    error = float(gains.std(ddof=1) / np.sqrt(len(gains))) if len(gains) > 1 else None
    return MeanGain(float(gains.mean()), error, len(gains))
