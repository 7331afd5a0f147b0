"""What the architectures of a live study have chosen, by column: `s3.attention` is `se`."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from ...spaces.architecture import OWN
from ..outputs.trials_table import architecture_choices, choice_columns
from ..records import recorded_architecture
from .cache import VersionedCache
from .live_trials import LiveTrials

_REMOVAL = f".{OWN}"
"""The end of the text of a change that removes the backbone's own attention."""


class LiveChoices:
    """The choices of all architectures of a study; each is read once.

    All methods may be called from any thread.
    """

    def __init__(self, trials: LiveTrials, cache: VersionedCache) -> None:
        self._trials, self._cache = trials, cache
        self._choices: list[dict[str, str]] = []
        self._columns: dict[str, str] = {}
        self._removals: Mapping[str, Collection[int]] = {}

    def read(self, stages: int) -> tuple[Sequence[str], Sequence[Mapping[str, str]]]:
        """The columns in the order of the network, and the choices of each text of the table.

        Args:
            stages: of the backbone.
        """
        with self._cache.lock:
            texts, facts = self._trials.table.texts, self._trials.model.insertion_facts
            removals = {t: each.shares.keys() for t, each in facts.items() if t.endswith(_REMOVAL)}
            if removals.keys() != self._removals.keys():  # `resume` records those of old studies.
                self._choices, self._removals = [], removals
            for text in texts[len(self._choices) :]:
                choices = architecture_choices(recorded_architecture(text), stages, removals)
                self._choices.append(choices)
                self._columns |= choices
            return choice_columns([self._columns], stages), list(self._choices)
