"""Predictions of a finished trial: which class each image was taken for, and how probable each was.

They lie beside the weights, in an `.npz` file that NumPy reads without attentune. Everything that
follows from them (metrics, confusions, which images two networks judge differently) can be computed
afterwards, without training again. This module imports no torch.

Log-probabilities are stored, as float16, instead of probabilities: near 0 and near 1 these have too
few digits in float16 to compute a log loss from them, or to rank the images of a good classifier.
The predicted class is stored as well, because two classes may have the same rounded probability;
so the accuracy follows exactly.
"""

from __future__ import annotations

import io
import json
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import DamagedFileError
from ..files import atomic_write, remove_path
from .results import KeepPredictions

BYTES_PER_PROBABILITY = 2
MAX_MEMBER_BYTES = 2**31
"""A larger array of a file is not read into memory."""
_TRIAL = "trial"
_UNREADABLE = (
    *(OSError, ValueError, KeyError, TypeError, EOFError, MemoryError, RecursionError),
    *(zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError),
)
"""What reading a damaged or forged archive raises."""


@dataclass(frozen=True, eq=False)
class Predictions:
    """The predictions for all images of a split, in the order of the prepared images.

    Attributes:
        labels: the true class of each image, int64 (N,).
        predicted: the most probable class of each image, int64 (N,).
        num_classes: of the data.
        log_probabilities: natural logarithms, float16 (N, num_classes); None if they were not kept.
        data_key: two predictions of one key are for the same images; None if it is not known.
    """

    labels: npt.NDArray[np.int64]
    predicted: npt.NDArray[np.int64]
    num_classes: int
    log_probabilities: npt.NDArray[np.float16] | None = None
    data_key: str | None = None

    def __post_init__(self) -> None:
        """Raise a ValueError if the arrays do not fit one another."""
        for classes in (self.labels, self.predicted):
            if classes.shape != (len(self),) or not np.issubdtype(classes.dtype, np.integer):
                raise ValueError("the classes are not one whole number for each image")
            if not (classes.min() >= 0 and classes.max() < self.num_classes):
                raise ValueError("a class is out of range")
        logs = self.log_probabilities
        if logs is not None:
            if logs.shape != (len(self), self.num_classes) or logs.dtype != np.float16:
                raise ValueError("there is not one probability for each image and class")
            if not (np.isfinite(logs).all() and (logs <= 0).all()):
                raise ValueError("a probability is not between 0 and 1")

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def images(self) -> npt.NDArray[np.int64]:
        """The numbers of the images in their prepared split, (N,)."""
        return np.arange(len(self))

    @cached_property
    def correct(self) -> npt.NDArray[np.bool_]:
        """Whether the true class of each image was predicted, (N,)."""
        return np.asarray(self.predicted == self.labels)

    @property
    def accuracy(self) -> float:
        """The fraction of images whose class was predicted: the trial's recorded accuracy."""
        return int(self.correct.sum()) / len(self)

    @cached_property
    def probabilities(self) -> npt.NDArray[np.float64] | None:
        """The probability of each class for each image, float64 (N, num_classes); rows add to 1."""
        if self.log_probabilities is None:
            return None
        values = np.exp(self.log_probabilities.astype(np.float64))
        return np.asarray(values / values.sum(axis=1, keepdims=True))

    def reduced_to(self, keep: KeepPredictions, max_mib: float) -> Predictions | None:
        """What a setting keeps of these predictions, with a limit in MiB; None for nothing."""
        kept = what_is_kept(keep, len(self), self.num_classes, max_mib)
        if kept == "none":
            return None
        return self if kept == "all" else replace(self, log_probabilities=None)


def probabilities_mib(num_images: int, num_classes: int) -> float:
    """The size of the probabilities of one trial before compression, MiB."""
    return num_images * num_classes * BYTES_PER_PROBABILITY / 2**20


def what_is_kept(
    keep: KeepPredictions, num_images: int, num_classes: int, max_mib: float
) -> KeepPredictions:
    """What is kept of the predictions of a trial: `classes` in place of `all` above the limit.

    Args:
        keep: the plan's setting.
        num_images: images of the split.
        num_classes: of the data.
        max_mib: the limit on the size of the probabilities, MiB.
    """
    if keep == "all" and probabilities_mib(num_images, num_classes) > max_mib:
        return "classes"
    return keep


def write_predictions(path: Path, predictions: Predictions, trial: Mapping[str, Any]) -> None:
    """Write predictions to a file, which then has its name only when it is on the disk.

    Args:
        path: the file.
        predictions: at least one image.
        trial: facts that JSON can represent about the trial that they are of.
    """
    arrays: dict[str, npt.NDArray[Any]] = {
        "labels": predictions.labels.astype(np.int32),
        "predicted": predictions.predicted.astype(np.int32),
    }
    if predictions.log_probabilities is not None:
        arrays["log_probabilities"] = predictions.log_probabilities
    facts = {
        **trial,
        "num_classes": predictions.num_classes,
        "accuracy": predictions.accuracy,
        "arrays": sorted(arrays),  # A damaged archive may list fewer than it holds.
    }
    arrays[_TRIAL] = np.array(json.dumps(facts))
    if path.is_dir():
        remove_path(path)  # A file cannot replace a folder.
    with atomic_write(path) as draft, draft.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)


def read_predictions(path: Path) -> tuple[Predictions, dict[str, Any]]:
    """The predictions of a file, whose checksums are verified, and the facts about their trial.

    Raises:
        FileNotFoundError: there is no such file.
        DamagedFileError: the file is damaged, or was not written by `write_predictions`.
    """
    if path.exists() and not path.is_file():  # Opening a named pipe would wait for ever.
        raise DamagedFileError(f"{path} is no file.")
    try:
        with zipfile.ZipFile(path) as archive:
            arrays = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
            members = {name: _read_member(archive, info) for name, info in arrays.items()}
        facts: dict[str, Any] = json.loads(str(members.pop(_TRIAL)))
        predictions = Predictions(
            members["labels"].astype(np.int64, casting="safe"),
            members["predicted"].astype(np.int64, casting="safe"),
            int(facts["num_classes"]),
            members.get("log_probabilities"),
            facts["data_key"],
        )
        if sorted(members) != facts["arrays"] or facts["accuracy"] != predictions.accuracy:
            raise ValueError("it holds something else than predictions")
    except FileNotFoundError:
        raise
    except _UNREADABLE as error:
        raise DamagedFileError(f"{path} is damaged: {error}.") from error
    return predictions, facts


def _read_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> npt.NDArray[Any]:
    """One array of an archive. Reading it to its end verifies its CRC-32."""
    if info.file_size > MAX_MEMBER_BYTES:
        raise ValueError(f"{info.filename} is too large")
    content = io.BytesIO(archive.read(info))
    return np.asarray(np.lib.format.read_array(content, allow_pickle=False))
