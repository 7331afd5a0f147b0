"""Captions of the figures and tables that both the report and the dashboard show."""

from __future__ import annotations

MARKERS = "Each marker is an architecture: its estimate with its standard error."
FRONT = (
    "An architecture is on the front if no other is at least as good in every objective and better "
    "in one."
)
EFFECTS_BY_STAGE = (
    "What the attention in this stage alone gains over the bare backbone, with its 95 % interval, "
    "from the model of the study, and the number of architectures that were tried with it. "
    "Coloured: the interval excludes zero. Hatched: not tried."
)
MAIN_EFFECTS = (
    "The same for each attention, stage, position and reduction ratio, in an average stage in "
    "which it was tried. Hollow: the interval includes zero."
)
RATIOS = "The same by attention and reduction ratio. Hollow: the interval includes zero."
IMPORTANCES = (
    "The share of the variance of the trials' results, without the effects of seeds, that each "
    "choice explains, with its 95 % interval: which attention a stage has, and, where they vary, "
    "at which reduction ratio and where in its blocks. Unexplained: noise, and what attentions do "
    "together."
)
HYPERVOLUME = (
    "The hypervolume of the front as training went on, with its 95 % interval: a share of the box "
    "from chance to a perfect result (for a metric without these, the bare backbone's value in "
    "both directions), and from the costs of the bare backbone to their limits or to the highest "
    "of the space. All results are as estimated now."
)
BEST_SO_FAR = (
    "The best architecture that was complete by then, by its estimate as it is now, and the "
    "results of the trials as they were measured. A result within the band could come from the "
    "best architecture too: it is one standard deviation of a single trial wide on each side."
)
EXPECTED_GAIN = (
    "What the next trials were expected to add to the result of the recommended architecture, "
    "simulated from the model of the study, ± one standard deviation."
)
LEARNING_CURVES = "The result on the validation images after every epoch. Dotted: pruned or failed."
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
    "95 % intervals that cover new seeds and, where their number is known, new test images. "
    "Filled: the difference is significant after the correction for multiple comparisons."
)
ALTERNATIVES = (
    "What one would do instead of attention: a larger backbone, more epochs, larger images. They "
    "are trained with the recipe and the seeds of the bare backbone, and with its learning rate, "
    "which was not tuned for them. Limits on costs do not apply to them."
)
