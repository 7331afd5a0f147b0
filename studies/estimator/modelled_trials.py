"""Which trials of a long study the shared effects of its model are learned from.

A model of n trials takes a time that grows with n, and a dozen kinds of effect need no thousands of
trials. So a long study is divided: the shared effects (of attentions, stages, seeds, …) are learned
from a bounded set of trials, and every other trial tells something about its own architecture only
(`mixed_model.MixedModel`).
"""

from __future__ import annotations

from collections.abc import Sequence

from .history import TrialHistory

MAX_TRIALS = 600
"""Trials from which shared effects are learned."""
MAX_TRIALS_PER_ARCHITECTURE = 10
"""Trials of one architecture among them, in a study that has more than `MAX_TRIALS`."""
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


def divide_trials(histories: Sequence[TrialHistory]) -> tuple[list[int], list[int]]:
    """The rows of the trials that shared effects are learned from, and the other rows.

    All trials of a study of up to `MAX_TRIALS`. Of a longer one, those of the bare backbone and of
    architectures in the order of their keys, which are hashes: a random choice that does not depend
    on accuracies, and changes only with `step_of`.

    Args:
        histories: by number.
    """
    if len(histories) <= MAX_TRIALS:
        return list(range(len(histories))), []
    rows: dict[str, list[int]] = {}
    for row, history in enumerate(histories[: step_of(len(histories))]):
        rows.setdefault(history.architecture.key, []).append(row)
    is_bare = {key: histories[group[0]].architecture.bare for key, group in rows.items()}
    chosen: list[int] = []
    for key in sorted(rows, key=lambda key: (not is_bare[key], key)):
        if len(chosen) >= MAX_TRIALS:
            break
        chosen += rows[key][:MAX_TRIALS_PER_ARCHITECTURE]
    is_chosen = set(chosen)
    return sorted(chosen), [row for row in range(len(histories)) if row not in is_chosen]
