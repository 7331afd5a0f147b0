"""What follows from the predictions of trials: how one classifies, and what an attention changes.

The predictions lie beside the weights, and the images in the cache of prepared data. Either may be
missing; then a sentence says why. This module imports no torch.
"""

from __future__ import annotations

import base64
import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from ...errors import DataError, StoreError, StudyError
from ...runners.data import Dataset, find_prepared_data, open_data
from ...runners.data.dataset import Images, to_rgb
from ...runners.predictions import Predictions
from ..analysis.classification import Classification, classify
from ..analysis.image_comparison import ImageComparison, compare_predictions
from ..database.predictions import load_predictions
from ..database.store import Store
from ..records import StudyRecord, TrialRecord

Pair = tuple[Predictions, Predictions]
"""Predictions with attention, and of the bare backbone with the same seed."""
MAX_SIDE_PIXELS = 128
"""Larger images are made smaller before they are shown."""
MAX_LISTED_CLASSES = 3
"""Classes that are named for one image, if the networks of several seeds disagree."""


@dataclass(frozen=True)
class JudgedImage:
    """An image that an attention fixes or breaks.

    Attributes:
        number: of the image in its prepared split.
        label: its true class.
        attentive: the classes for which the networks with attention took it, most frequent first.
        bare: the same of the bare networks.
        pairs: in how many pairs of networks it is fixed, or broken.
        url: the image as a `data:` URL; None if it is not in the cache.
    """

    number: int
    label: str
    attentive: tuple[str, ...]
    bare: tuple[str, ...]
    pairs: int
    url: str | None


@dataclass(frozen=True)
class BareComparison:
    """An architecture compared with the bare backbone, or with another one, image by image.

    Attributes:
        trial: one of the architecture.
        seeds: common to both, with predictions of both.
        comparison: None if there is nothing to compare.
        fixed: the images that are fixed most often.
        broken: the images that are broken most often.
        problem: why there is no comparison, or why the images are missing; None if all is there.
    """

    trial: TrialRecord
    seeds: tuple[int, ...] = ()
    comparison: ImageComparison | None = None
    fixed: tuple[JudgedImage, ...] = ()
    broken: tuple[JudgedImage, ...] = ()
    problem: str | None = None


def read_classification(
    store: Store, study: StudyRecord, trial: TrialRecord
) -> Classification | str:
    """How a trial classifies the images that its accuracy was measured on.

    Args:
        store: the database.
        study: the trial's study.
        trial: of the study.

    Returns:
        If it has no predictions that can be used: why, as a sentence.
    """
    try:
        predictions = load_predictions(store, study, trial)
    except StoreError as error:
        return str(error)
    if predictions is None:
        return explain_missing_predictions(study, trial)
    data = _open_images(predictions)
    return classify(predictions, _class_names(store, study, data, predictions.num_classes))


def trial_metrics(store: Store, study: StudyRecord, trial: TrialRecord) -> dict[str, float]:
    """The recorded metrics of a trial besides its accuracy, by key; empty if it has none.

    Args:
        store: the database.
        study: the trial's study.
        trial: of the study.
    """
    return store.metrics.read(study).get(trial.number, {})


def explain_missing_predictions(study: StudyRecord, trial: TrialRecord) -> str:
    """One sentence: why a trial has no predictions."""
    label = f"trial {trial.number} of {study.name!r}"
    if trial.state != "complete":
        return f"{label} is {trial.state}; only complete trials have predictions."
    if study.config.evaluation is not None:
        return f"{label} was trained by {study.config.evaluation}, which keeps no predictions."
    try:
        keeps_none = study.config.plan.keep_predictions == "none"
    except StudyError:
        keeps_none = False
    if keeps_none:
        return f"the predictions of {label} were not kept (--keep-predictions none)."
    return (
        f"{label} has no predictions: a version of attentune that kept none has trained it, or "
        "their file was deleted."
    )


def compare_with_bare(
    store: Store,
    study: StudyRecord,
    trial: TrialRecord,
    trials: Sequence[TrialRecord],
    max_images: int,
) -> BareComparison:
    """Which images the architecture of a trial fixes and breaks, over the common seeds.

    Trials of the search are compared with those of the search, for validation images, and
    confirming trials with confirming ones, for test images.

    Args:
        store: the database.
        study: the trial's study.
        trial: one of the architecture.
        trials: those to compare, of that architecture and of the bare backbone; others are ignored.
        max_images: that are shown of either kind.
    """
    result = BareComparison(trial)
    if trial.parsed.bare:
        problem = "this has no attention; choose an architecture that has one."
        return replace(result, problem=problem)
    comparable = [t for t in trials if t.confirms == trial.confirms and t.alternative is None]
    complete = [t for t in comparable if t.state == "complete"]
    bare = {t.seed: t for t in complete if t.parsed.bare}
    architecture = [t for t in complete if t.key == trial.key]
    if not any(t.seed in bare for t in architecture):
        problem = "it has no complete trial with a seed of a complete bare trial yet."
        return replace(result, problem=problem)
    compared = compare_architectures(store, study, architecture, list(bare.values()), max_images)
    return replace(compared, trial=trial)


def compare_architectures(
    store: Store,
    study: StudyRecord,
    first: Sequence[TrialRecord],
    second: Sequence[TrialRecord],
    max_images: int,
) -> BareComparison:
    """Which images one architecture recognises and another does not, over the common seeds.

    Args:
        store: the database.
        study: of the trials.
        first, second: complete trials of either architecture, at least one of the first. An image
            is fixed if only the first recognises it, and broken if only the second does.
        max_images: that are shown of either kind.
    """
    others = {t.seed: t for t in second}
    common = sorted((t for t in first if t.seed in others), key=_seed)
    result = BareComparison(common[0] if common else first[0])
    if not common:
        return replace(result, problem="they have no complete trials with a common seed yet.")
    try:
        loaded = {t.seed: _load_pair(store, study, t, others[t.seed]) for t in common}
    except StoreError as error:
        return replace(result, problem=str(error))
    pairs = _of_same_images({seed: pair for seed, pair in loaded.items() if pair is not None})
    if not pairs:
        return replace(result, problem=explain_missing_predictions(study, common[0]))
    try:
        comparison = compare_predictions(list(pairs.values()))
    except ValueError:
        return replace(result, problem=_OTHER_IMAGES)
    predictions = next(iter(pairs.values()))[0]
    data = _open_images(predictions)
    names = _class_names(store, study, data, predictions.num_classes)
    gallery = _Gallery(comparison, data, result.trial.confirms, names)
    return replace(
        result,
        seeds=tuple(pairs),
        comparison=comparison,
        fixed=gallery.images(comparison.most_fixed(max_images), comparison.fixed),
        broken=gallery.images(comparison.most_broken(max_images), comparison.broken),
        problem=None if gallery.has_images else _NO_IMAGES,
    )


_NO_IMAGES = (
    "The images themselves are not in the cache of this machine; `attentune resume` prepares them "
    "again."
)


_OTHER_IMAGES = (
    "the trials were judged on different images, because the data have changed since; search anew."
)


def _seed(trial: TrialRecord) -> int:
    return trial.seed


def _load_pair(
    store: Store, study: StudyRecord, trial: TrialRecord, bare: TrialRecord
) -> Pair | None:
    """The predictions of a trial and of the bare trial; None if one of them has none."""
    attentive = load_predictions(store, study, trial)
    without = load_predictions(store, study, bare)
    if attentive is None or without is None:
        return None
    return attentive, without


def _of_same_images(pairs: dict[int, Pair]) -> dict[int, Pair]:
    """The pairs that were judged on the images of the first one; splits have different images."""
    first = next((pair[0].data_key for pair in pairs.values()), None)
    return {seed: pair for seed, pair in pairs.items() if pair[0].data_key == first}


class _Gallery:
    """Makes the images of a comparison.

    Args:
        comparison: the networks' predictions.
        data: has the images; None if they are not in the cache.
        test: whether they are test images.
        names: of the classes.
    """

    def __init__(
        self, comparison: ImageComparison, data: Dataset | None, test: bool, names: Sequence[str]
    ) -> None:
        self._comparison, self._names = comparison, names
        self._images: Images | None = None
        if data is not None and len(data.classes) == len(names):
            split = data.test if test else data.val
            if split is not None and np.array_equal(split.labels, comparison.labels):
                self._images = split.images

    @property
    def has_images(self) -> bool:
        """Whether the images can be shown."""
        return self._images is not None

    def images(self, numbers: Sequence[int], pairs: npt.NDArray[Any]) -> tuple[JudgedImage, ...]:
        """The images of these numbers; `pairs` (N,) counts in how many pairs each was judged so."""
        comparison = self._comparison
        return tuple(
            JudgedImage(
                number,
                self._names[int(comparison.labels[number])],
                self._classes(comparison.predicted[:, number]),
                self._classes(comparison.bare_predicted[:, number]),
                int(pairs[number]),
                None if self._images is None else image_url(self._images[number]),
            )
            for number in numbers
        )

    def _classes(self, predicted: npt.NDArray[Any]) -> tuple[str, ...]:
        counts = Counter(predicted.tolist()).most_common(MAX_LISTED_CLASSES)
        return tuple(self._names[number] for number, _ in counts)


def image_url(image: Images) -> str:
    """An image (H, W, C), uint8, as a `data:` URL: PNG, or JPEG if it had to be made smaller."""
    drawn = Image.fromarray(to_rgb(image))
    file = io.BytesIO()
    kind = "png" if max(drawn.size) <= MAX_SIDE_PIXELS else "jpeg"
    drawn.thumbnail((MAX_SIDE_PIXELS, MAX_SIDE_PIXELS))
    drawn.save(file, kind.upper())
    return f"data:image/{kind};base64,{base64.b64encode(file.getvalue()).decode()}"


def _class_names(
    store: Store, study: StudyRecord, data: Dataset | None, num_classes: int
) -> tuple[str, ...]:
    """The names of the classes as they were searched on, or else as they are in the cache.

    Args:
        store: the database.
        study: whose data they are.
        data: from the cache; None if they are not there.
        num_classes: without names, classes are numbered.
    """
    names = store.data_records.read_classes(study) or (data.classes if data else ())
    return names if len(names) == num_classes else tuple(map(str, range(num_classes)))


def _open_images(predictions: Predictions) -> Dataset | None:
    """The data of some predictions, from the cache; None if they are not there."""
    key = predictions.data_key
    info = None if key is None else find_prepared_data(key)
    try:
        return None if info is None else open_data(info)
    except DataError:
        return None
