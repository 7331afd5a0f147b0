"""The epochs after which trials may be stopped, and the signal that is used there."""

from __future__ import annotations

import math

from ...runners.results import EpochReport
from ..config import Pruning


def rung_epochs(epochs: int, first: float, eta: int, earliest: int = 2) -> tuple[int, ...]:
    """The epochs after which trials are judged: ⌈first · epochs⌉, then η times the one before.

    The last epoch is not a rung, because stopping there saves nothing. A later rung is used only if
    a complete trial has at least η times its epochs. Otherwise the rung would save little.

    Args:
        epochs: of a whole trial.
        first: the first rung as a fraction of all epochs.
        eta: the ratio of one rung to the one before.
        earliest: the earliest epoch of a rung. The first epoch usually says nothing about a trial.
    """
    epoch = max(earliest, math.ceil(first * epochs))
    rungs = [epoch] if epoch < epochs else []
    while rungs and (epoch := epoch * eta) * eta <= epochs:
        rungs.append(epoch)
    return tuple(rungs)


def study_rungs(epochs: int, pruning: Pruning) -> tuple[int, ...]:
    """The rungs of a study, as epochs; empty without a pruner.

    Args:
        epochs: of a whole trial.
        pruning: of the study.
    """
    if pruning.pruner == "none":
        return ()
    # `front` uses a model that predicts an architecture before it trains, so it can judge early.
    earliest = 1 if pruning.pruner == "front" else 2
    return rung_epochs(epochs, pruning.first, pruning.eta, earliest)


def observed_epochs(epochs: int, pruning: Pruning) -> tuple[int, ...]:
    """The epochs whose signal the model observes: the rungs, or half of all without a pruner.

    The training loss says something about an architecture that the final accuracy of one trial does
    not (`docs/search.md`), and it is available even if no trial is ever stopped.

    Args:
        epochs: of a whole trial.
        pruning: of the study.
    """
    half = max(2, math.ceil(epochs / 2))
    return study_rungs(epochs, pruning) or ((half,) if half < epochs else ())


def rung_loss(report: EpochReport, signal: str) -> float:
    """The signal of an epoch as a loss, to be minimised; infinite if it is not finite.

    Args:
        report: of the epoch.
        signal: `accuracy` for the validation accuracy, anything else for the training loss. The
            former is used if the latter was not reported.
    """
    takes_score = signal == "accuracy" or math.isnan(report.train_loss)
    value = -report.score if takes_score else report.train_loss
    return value if math.isfinite(value) else math.inf


def signal_strength(report: EpochReport, signal: str) -> float:
    """The signal of an epoch for the model: the accuracy, or minus the logarithm of the loss.

    More is better. NaN if the loss is not positive.

    Args:
        report: of the epoch.
        signal: `accuracy` for the validation accuracy, anything else for the training loss. The
            former is used if the latter was not reported.
    """
    if signal == "accuracy" or math.isnan(report.train_loss):
        return report.score
    return -math.log(report.train_loss) if report.train_loss > 0 else math.nan
