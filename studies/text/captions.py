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
FIXED_AND_BROKEN = (
    "An image is fixed if the network with attention recognises it and the bare backbone of the "
    "same seed does not, and broken if it is the other way round. Those that are fixed or broken "
    "with the most seeds come first."
)
METRICS = (
    "Averages over classes (balanced accuracy, macro F1, AUROC of one class against the rest) are "
    "taken over the classes that the images have."
)
CONFUSION = (
    "Images by true class (rows) and predicted class (columns). The colour is the share of the row."
)
CALIBRATION = (
    "How often the predicted class is right (accuracy), by how probable the network held it to be "
    "(confidence). On the dashed line the two agree."
)
CONFIRMATION = (
    "Finalists and baselines, retrained with fresh seeds and judged once on the test split, with "
    "95 % intervals that cover new seeds and new test images. Filled: the difference is "
    "significant after the correction for multiple comparisons."
)
ALTERNATIVES = (
    "What one would do instead of attention: a larger backbone, more epochs, larger images. They "
    "are trained with the recipe and the seeds of the bare backbone, and with its learning rate, "
    "which was not tuned for them. Limits on costs do not apply to them."
)
