"""Which architectures have failed so often that they are not proposed again.

A trial that fails counts as a trial of the plan. So that a broken attention does not use up the
plan, three rules decide from the recorded failures alone what is not proposed any more:

1. an architecture that has failed `MAX_ARCHITECTURE_FAILURES` times and was never complete;
2. every architecture with an attention at a site where it has failed by name: the message of an
   `invalid` trial begins with the attention and the site (`Placement.label`);
3. every architecture with a user's attention that `MAX_ATTENTION_FAILURES` failed trials had, if no
   trial with it is complete. A trial counts only if it had no other attention of which that is
   true, so that no attention is blamed for another.
"""

from __future__ import annotations

from collections import Counter

from ...spaces.architecture import Architecture
from ...spaces.attentions.catalogue import ATTENTIONS
from ...spaces.backbones.sites import SiteMap
from ...spaces.networks.placement import placements
from ...studies.records import TrialRecord

MAX_ARCHITECTURE_FAILURES = 2
MAX_ATTENTION_FAILURES = 3


class FailureHistory:
    """The failures of a study's trials.

    Args:
        site_map: of the study's backbone.
    """

    def __init__(self, site_map: SiteMap) -> None:
        self._site_map = site_map
        self._failures: Counter[str] = Counter()
        self._messages: dict[str, str] = {}
        self._complete_keys: set[str] = set()
        self._complete_attentions: set[str] = set()
        self._failed_attentions: list[tuple[frozenset[str], str]] = []
        self._failed_labels: dict[str, str] = {}

    @property
    def count(self) -> int:
        """How many trials have failed."""
        return len(self._failed_attentions)

    def record_state(self, trial: TrialRecord) -> None:
        """Record how a trial ended; a running one changes nothing."""
        if trial.state in ("complete", "pruned"):
            self._complete_keys.add(trial.key)
            self._complete_attentions |= _plugins(trial.parsed)
        elif trial.state == "failed":
            failure = trial.failure
            message = "" if failure is None else f"{failure.kind}: {failure.message}"
            self._failures[trial.key] += 1
            self._messages[trial.key] = message
            self._failed_attentions.append((_plugins(trial.parsed), message))
            if failure is not None and failure.kind == "invalid":
                for label in self._labels(trial.parsed):
                    if failure.message.startswith(label):
                        self._failed_labels[label] = failure.message

    def reason_against(self, architecture: Architecture) -> str | None:
        """Why an architecture is not proposed any more, as a sentence; None if it may be."""
        if not self.count or architecture.bare:
            return None
        key = architecture.key
        failures = self._failures[key]
        if failures >= MAX_ARCHITECTURE_FAILURES and key not in self._complete_keys:
            return f"it has failed {failures} times, the last with {self._messages[key]}"
        if self._failed_labels:
            for label in self._labels(architecture):
                if label in self._failed_labels:
                    return f"an earlier trial has failed: {self._failed_labels[label]}"
        for name in sorted(_plugins(architecture) - self._complete_attentions):
            messages = self._failures_of(name)
            if len(messages) >= MAX_ATTENTION_FAILURES:
                return (
                    f"{len(messages)} trials with the attention {name!r} have failed and none is "
                    f"complete, the last with {messages[-1]}"
                )
        return None

    def _failures_of(self, name: str) -> list[str]:
        """The messages of the failed trials that had no other attention which may be the cause."""
        return [
            message
            for names, message in self._failed_attentions
            if names - self._complete_attentions == {name}
        ]

    def _labels(self, architecture: Architecture) -> list[str]:
        return [placement.label for placement in placements(architecture, self._site_map)]


def _plugins(architecture: Architecture) -> frozenset[str]:
    """The users' attentions of an architecture."""
    return frozenset({insertion.attention for insertion in architecture.insertions} - {*ATTENTIONS})
