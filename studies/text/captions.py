"""Captions of the figures and tables that both the report and the dashboard show."""

from __future__ import annotations

MARKERS = "Each marker is an architecture: the mean over its seeds with its standard error."
FRONT = (
    "An architecture is on the front if no other is at least as good in every objective and better "
    "in one."
)
GAIN_BY_STAGE = (
    "Mean accuracy gained over the bare backbone in percentage points, ± its standard error, and "
    "the number of architectures. Each cell averages architectures that also differ elsewhere. "
    "Hatched: not tried."
)
MAIN_EFFECTS = (
    "Accuracy gained per stage over a stage without attention, all else equal, estimated by a "
    "linear model, with 95 % intervals. Hollow: the interval includes zero."
)
IMPORTANCES = (
    "The share of the accuracy's variation that the attention of each stage explains (fANOVA)."
)
HYPERVOLUME = (
    "The hypervolume of the front as training went on, as a share of the box between the best and "
    "worst values."
)
EXPECTED_GAIN = (
    "What the next trials were expected to add to the accuracy of the recommended architecture, "
    "simulated from the model of the study, ± one standard deviation."
)
LEARNING_CURVES = "Validation accuracy after every epoch. Dotted: pruned or failed."
CONFIRMATION = (
    "Finalists and baselines, retrained with fresh seeds and judged once on the test split, with "
    "95 % intervals. Filled: the difference is significant after the correction for multiple "
    "comparisons."
)
