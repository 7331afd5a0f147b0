"""An index of insertions: which architectures of a study have which attention where.

The texts of a study consist of few distinct insertions. Each is parsed once, and an architecture is
stored as a few indices, so that finding those with "SE in stage 3" is a fast numpy operation.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ...spaces.architecture import Insertion
from ...spaces.attentions.catalogue import ATTENTIONS
from ..records import recorded_change, split_changes

Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]


class InsertionIndex:
    """The insertions of architectures, which are identified by the index of their text.

    Args:
        stages: of the backbone; 0 if it is unknown.

    Attributes:
        count: architectures in the index.
        insertions: all distinct ones, removals of own attention among them; see
            `Architecture.changes`.
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
        known, parts = self._index_of_text, [split_changes(text) for text in texts[self.count :]]
        architecture = np.repeat(np.arange(self.count, len(texts)), [len(part) for part in parts])
        flat = itertools.chain.from_iterable(parts)
        indices = (known.setdefault(text, len(known)) for text in flat)
        insertion = np.fromiter(indices, np.int64, len(architecture))
        self.insertions += map(recorded_change, list(known)[len(self.insertions) :])
        self._architecture = np.concatenate([self._architecture, architecture])
        self._insertion = np.concatenate([self._insertion, insertion])
        self.count = len(texts)
        return self

    @property
    def attentions(self) -> list[str]:
        """The attentions that occur: in the catalogue's order, then those of plug-ins by name."""
        present = {insertion.attention for insertion in self.insertions}
        return [*(n for n in ATTENTIONS if n in present), *sorted(present - set(ATTENTIONS))]

    def snapshot(self) -> InsertionIndex:
        """An index of the same architectures, to which nothing is added later."""
        copied = copy.copy(self)
        copied.insertions, copied._index_of_text = [*self.insertions], dict(self._index_of_text)
        return copied

    def count_architectures(self, chosen: Flags) -> Ints:
        """(insertions,) how many of the chosen architectures have each insertion.

        `chosen` (count,) says which architectures are chosen.
        """
        matches = self._insertion[chosen[self._architecture]]
        counts: Ints = np.bincount(matches, minlength=len(self.insertions))
        return counts

    def having(self, chosen: Sequence[bool]) -> Flags:
        """(count,) whether each architecture has one of the chosen insertions.

        `chosen` has a value for each of `insertions`.
        """
        flags = np.array(chosen, dtype=bool)
        matches = np.zeros(self.count, dtype=bool)
        if len(flags):
            matches[self._architecture[flags[self._insertion]]] = True
        return matches
