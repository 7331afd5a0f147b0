"""Which trials of a long study the shared effects of its model are learned from.

A model of n trials takes a time that grows with n, and a dozen kinds of effect need no thousands of
trials. So a long study is divided: the shared effects (of attentions, stages, seeds, …) are learned
from a bounded set of trials, and every other trial tells something about its own architecture only
(`mixed_model.MixedModel`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .history import TrialHistory
from .observations import Ints

MAX_TRIALS = 600
"""Trials from which shared effects are learned."""
MAX_TRIALS_PER_ARCHITECTURE = 10
"""Trials of one architecture among them, in a study that has more than `MAX_TRIALS`."""
MAX_TRIALS_WITH_NEW_MODEL = 256
"""Up to so many trials, each proposal is made by a model of all trials."""
PARTS_WITH_ONE_MODEL = 128
"""In a longer study, the model is made again once the study has grown by one of so many parts."""
MIN_TRIALS = 6
"""The first step of `step_of`."""


def step_of(trials: int) -> int:
    """The last step of a geometric sequence, in steps of a quarter, that is at most `trials`.

    What takes long is computed again at these steps only. They depend on the number of trials and
    not on when they ended, so a resumed study has the same steps. 0 before the first step.

    Args:
        trials: that have ended.
    """
    count, step = 0, MIN_TRIALS
    while step <= trials:
        count, step = step, step + max(1, step // 4)
    return count


def last_model_count(trials: int) -> int:
    """The number of trials whose results a proposal takes into account once `trials` have ended.

    All of them up to `MAX_TRIALS_WITH_NEW_MODEL`. A longer study has grown by a small part before
    the model is made again: of ten thousand trials, at most 77 are not known yet, while hundreds
    that are running are not known either. Thompson sampling needs no more: its draws differ
    although the model does not (Kandasamy et al., arXiv 1705.09236).

    Args:
        trials: that have ended.
    """
    if trials <= MAX_TRIALS_WITH_NEW_MODEL:
        return trials
    return trials - trials % max(1, trials // PARTS_WITH_ONE_MODEL)


def divide_trials(architectures: Ints, keys: Sequence[str], bare: int | None) -> tuple[Ints, Ints]:
    """The rows of the trials that shared effects are learned from, and the other rows.

    All trials of a study of up to `MAX_TRIALS`. Of a longer one, those of the bare backbone and of
    architectures in the order of their keys, which are hashes: a random choice that does not depend
    on accuracies.

    Args:
        architectures: (t,) an index in `keys` for each trial, by number.
        keys: of all architectures.
        bare: the index of the bare backbone; None if it has no trial.
    """
    count = len(architectures)
    if count <= MAX_TRIALS:
        return np.arange(count), np.zeros(0, dtype=int)
    rank = np.empty(len(keys), dtype=int)
    rank[sorted(range(len(keys)), key=lambda index: (index != bare, keys[index]))] = np.arange(
        len(keys)
    )
    ranks = rank[architectures[: step_of(count)]]
    order = np.argsort(ranks, kind="stable")
    begins = np.searchsorted(ranks[order], ranks[order])
    repeated = np.arange(len(order)) - begins >= MAX_TRIALS_PER_ARCHITECTURE
    modelled = np.sort(order[~repeated][:MAX_TRIALS])
    return modelled, np.setdiff1d(np.arange(count), modelled, assume_unique=True)


def divide_histories(
    histories: Sequence[TrialHistory],
) -> tuple[list[TrialHistory], list[TrialHistory]]:
    """The trials that shared effects are learned from, and the others; as `divide_trials`.

    Args:
        histories: of all trials that have ended, by number.
    """
    if len(histories) <= MAX_TRIALS:
        return list(histories), []
    index: dict[str, int] = {}
    architectures = [index.setdefault(h.architecture.key, len(index)) for h in histories]
    bare = next((h.architecture.key for h in histories if h.architecture.bare), None)
    modelled, further = divide_trials(
        np.array(architectures), list(index), None if bare is None else index[bare]
    )
    return [histories[row] for row in modelled], [histories[row] for row in further]
