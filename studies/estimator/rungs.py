"""The epochs at which trials are judged before they end, and the signal that is read there."""

from __future__ import annotations

import math

from ...runners.results import EpochReport
from ..config import StudyConfig


def rung_epochs(epochs: int, first: float, eta: int, earliest: int = 2) -> tuple[int, ...]:
    """The epochs after which trials are judged: ⌈first · epochs⌉, and from there η times further.

    The last epoch is no rung, since nothing would be saved there. A later rung has to leave its
    survivors η times the epochs they have had: otherwise one trial in η² would be trained to the
    end for little more than it costs to train one in η.

    Args:
        epochs: of a whole trial.
        first: the first rung as a fraction of all epochs.
        eta: the ratio of one rung to the one before.
        earliest: no rung lies before this epoch. After the first epoch a trial shows nothing yet.
    """
    epoch = max(earliest, math.ceil(first * epochs))
    rungs = [epoch] if epoch < epochs else []
    while rungs and (epoch := epoch * eta) * eta <= epochs:
        rungs.append(epoch)
    return tuple(rungs)


def study_rungs(config: StudyConfig) -> tuple[int, ...]:
    """The rungs of a study, as epochs; empty without a pruner."""
    pruning = config.pruning
    if pruning.pruner == "none":
        return ()
    # `front` judges by a model that predicts an architecture before it trains, so it may ask early.
    earliest = 1 if pruning.pruner == "front" else 2
    return rung_epochs(config.recipe.epochs, pruning.first, pruning.eta, earliest)


def observed_epochs(config: StudyConfig) -> tuple[int, ...]:
    """The epochs whose signal the model observes: the rungs, or without a pruner half of all.

    The training loss says something about an architecture that the final accuracy of one trial does
    not (`docs/search.md`), and it is there even if no trial is ever stopped.
    """
    half = max(2, math.ceil(config.recipe.epochs / 2))
    return study_rungs(config) or ((half,) if half < config.recipe.epochs else ())


def rung_loss(report: EpochReport, signal: str) -> float:
    """The signal of an epoch as a pruner reads it: to be minimised, infinite if it is not finite.

    Args:
        report: of the epoch.
        signal: `accuracy` for the validation accuracy, anything else for the training loss.
    """
    value = -report.accuracy if signal == "accuracy" else report.train_loss
    return value if math.isfinite(value) else math.inf


def signal_strength(report: EpochReport, signal: str) -> float:
    """The signal of an epoch as the model reads it: accuracy, or minus the logarithm of the loss.

    More is better. NaN for a loss that is not positive.

    Args:
        report: of the epoch.
        signal: `accuracy` for the validation accuracy, anything else for the training loss.
    """
    if signal == "accuracy":
        return report.accuracy
    return -math.log(report.train_loss) if report.train_loss > 0 else math.nan
