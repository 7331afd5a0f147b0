"""Where trials are looked at before they end, and what is seen of them there."""

from __future__ import annotations

import math

from ...runners.results import EpochReport
from ..config import StudyConfig


def rungs(epochs: int, first: float, eta: int, earliest: int = 2) -> tuple[int, ...]:
    """The epochs after which trials are judged: the `first` part of all epochs, then η times that.

    Never after the last, when nothing is left to save, nor before the `earliest`: what a trial
    shows after its first epoch tells nothing. A later rung has to leave its survivors η times what
    they had: else one in η² would be trained to the end for little more than one in η costs.
    """
    at = max(earliest, math.ceil(first * epochs))
    found = [at] if at < epochs else []
    while found and (at := at * eta) * eta <= epochs:
        found.append(at)
    return tuple(found)


def rungs_of(config: StudyConfig) -> tuple[int, ...]:
    """The rungs of a study; none without a pruner."""
    pruning = config.pruning
    if pruning.pruner == "none":
        return ()
    earliest = 1 if pruning.pruner == "front" else 2  # it knows most before a trial has begun
    return rungs(config.recipe.epochs, pruning.first, pruning.eta, earliest)


def glimpses_of(config: StudyConfig) -> tuple[int, ...]:
    """The epochs after which a model sees a trial's signal: the rungs; without any, half way.

    The training loss tells of an architecture what one trial's final accuracy does not
    (`docs/search.md`), and nothing has to be stopped for it.
    """
    half = max(2, math.ceil(config.recipe.epochs / 2))
    return rungs_of(config) or ((half,) if half < config.recipe.epochs else ())


def loss_of(report: EpochReport, signal: str) -> float:
    """What a rung sees of an epoch, to be minimised; infinite if it is no number."""
    value = -report.accuracy if signal == "accuracy" else report.train_loss
    return value if math.isfinite(value) else math.inf


def strength(report: EpochReport, signal: str) -> float:
    """The signal as a number that grows with what it promises, for models: losses by logarithm."""
    if signal == "accuracy":
        return report.accuracy
    return -math.log(report.train_loss) if report.train_loss > 0 else math.nan
