"""The prior of a study's mixed model: its kinds of effect, their variances, and slopes of rungs."""

from __future__ import annotations

from .observations import Observations

PRIOR_VARIANCES = {
    "size": 1.0,
    "attention": 0.2,
    "stage": 0.3,
    "ratio": 0.05,
    "position": 0.1,
    "pair": 0.1,
    "architecture": 0.1,
    "trial": 0.2,
    "seed": 0.1,
    "architecture at a rung": 0.1,
    "attention at a rung": 0.3,
    "stage at a rung": 0.3,
    "noise at the end": 0.1,
    "noise at a rung": 0.2,
}
"""Prior median of each variance, as a fraction of the variance of the observations in its channel.
The prior of the trend over the size of the modules is wide.
"""
NOISE_KINDS = ("trial", "seed", "noise at the end")
"""Kinds that make final accuracies of one architecture differ."""
KINDS_AT_RUNGS = ("attention", "stage")
"""Kinds of effect of which each rung has its own, beside those that it shares with the end."""
PRIOR_SLOPE = 0.3
"""Prior median of a rung's slope: small, until final accuracies show that it is larger."""
PRIOR_LOG_DEVIATION = 1.0
"""Standard deviation of the prior on the logarithm of a variance or slope."""
MAX_LOG_DISTANCE = 5.0
"""Maximum distance of a fitted logarithm from its prior median. Without a bound, trials with equal
accuracies would drive the noise to zero and make the covariance singular.
"""
LEVEL_VARIANCE = 1.0
"""Variance of a channel's level around the mean of its observations."""
MIN_NOISE = 1e-8
"""Added to the noise variances, so that the covariance is not singular."""
MIN_FITTED_ENDS = 6
"""With fewer final accuracies, hyperparameters are not fitted."""

Hyperparameters = dict[str, float]
"""Variances by their kind, as in `PRIOR_VARIANCES`, and slopes as `slope EPOCH`."""


def prior_hyperparameters(observed: Observations) -> Hyperparameters:
    """The medians of the prior, for a study with these observations.

    In the tables, where accuracies deviate by the prior deviation, a certain share of their
    variance is noise. Where they deviate more, architectures may differ more or trials may be
    noisier: the share is assumed to be smaller by the ratio of the deviations, which is midway
    between equal shares and equal noise.
    """
    noise_share = min(1.0, observed.prior_deviation / observed.scale)
    noise = {kind: noise_share * PRIOR_VARIANCES[kind] for kind in NOISE_KINDS}
    slopes = {f"slope {rung}": PRIOR_SLOPE for rung in observed.rungs}
    return PRIOR_VARIANCES | noise | slopes
