"""Choose the images for training, validation and test, by seed and stratified by class.

A source's own validation and test splits are used as they are. A split that it lacks is held out of
its training images, first the test split: `val_fraction` of them (at most `train_limit`). Of the
rest, at most `train_limit` images are used for training and validation together, and `val_fraction`
of these for validation. With a limit, the source's own validation split is reduced to that number
too; its own test split is not reduced.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ...errors import DataError
from ..recipe import Recipe
from .dataset import Labels, Rows, SplitName

Counts = Rows
"""Numbers of images, one for each class."""


@dataclass(frozen=True)
class RowSelection:
    """Rows (n,) of one split of the source."""

    split: SplitName
    rows: Rows


@dataclass(frozen=True)
class SplitPlan:
    """Where the images of `train`, `val` and `test` come from.

    Attributes:
        selections: the rows of the source that make up each split.
        held_out: the splits that the source lacks.
    """

    selections: Mapping[SplitName, RowSelection]
    held_out: tuple[SplitName, ...]


def plan_splits(
    labels: Mapping[SplitName, Labels], classes: tuple[str, ...], recipe: Recipe
) -> SplitPlan:
    """Choose the images of every split.

    Args:
        labels: those of the source's own splits, `train` among them.
        classes: names of the classes, in the order of the labels.
        recipe: its `val_fraction`, `train_limit` and `data_seed` are used.

    Raises:
        DataError: a class has too few images, or the limit is too small.
    """
    held_out: tuple[SplitName, ...] = tuple(s for s in ("val", "test") if s not in labels)
    rng = np.random.default_rng(recipe.data_seed)
    remaining = _shuffled_rows_by_class(labels["train"], len(classes), rng)
    _check_class_sizes(remaining, classes, 1 + len(held_out))
    selections: dict[SplitName, RowSelection] = {}
    if "test" in held_out:
        total = round(recipe.val_fraction * len(labels["train"]))
        total = min(total, recipe.train_limit or total)
        test = _take_rows(remaining, total, at_least=1, leave=len(held_out))
        selections["test"] = RowSelection("train", np.sort(np.concatenate(test)))
    else:
        selections["test"] = RowSelection("test", np.arange(len(labels["test"])))
    train, selections["val"] = _select_train_and_val(labels, remaining, recipe, rng)
    selections["train"] = RowSelection("train", rng.permutation(np.concatenate(train)))
    return SplitPlan({split: selections[split] for split in ("train", "val", "test")}, held_out)


def _select_train_and_val(
    labels: Mapping[SplitName, Labels],
    remaining: list[Rows],
    recipe: Recipe,
    rng: np.random.Generator,
) -> tuple[list[Rows], RowSelection]:
    """The training rows by class, and the validation selection."""
    fraction, limit = recipe.val_fraction, recipe.train_limit
    if limit is not None and limit < 2 * len(remaining):
        raise DataError(
            f"train_limit={limit} is too few for {len(remaining)} classes; "
            f"use at least {2 * len(remaining)}"
        )
    if "val" not in labels:
        train = remaining if limit is None else _take_rows(remaining, limit, at_least=2)
        total = round(fraction * sum(map(len, train)))
        val = _take_rows(train, total, at_least=1, leave=1)
        return train, RowSelection("train", np.sort(np.concatenate(val)))
    if limit is None:
        return remaining, RowSelection("val", np.arange(len(labels["val"])))
    total = max(1, round(fraction * limit))
    val_rows = _shuffled_rows_by_class(labels["val"], len(remaining), rng)
    val = _take_rows(val_rows, total, at_least=0)
    train = _take_rows(remaining, limit - total, at_least=1)
    return train, RowSelection("val", np.sort(np.concatenate(val)))


def _shuffled_rows_by_class(
    labels: Labels, num_classes: int, rng: np.random.Generator
) -> list[Rows]:
    order = rng.permutation(len(labels))
    order = order[np.argsort(labels[order], kind="stable")]
    ends = np.cumsum(np.bincount(labels, minlength=num_classes))[:-1]
    return np.split(order, ends)


def _take_rows(
    rows_by_class: list[Rows], total: int, *, at_least: int, leave: int = 0
) -> list[Rows]:
    """Remove `total` rows from the lists (in place) in proportion to the classes; return them.

    At least `at_least` rows of every class are removed, and at least `leave` remain.
    """
    sizes = np.array([len(rows) for rows in rows_by_class])
    counts = apportion(total, sizes, np.minimum(at_least, sizes), np.maximum(sizes - leave, 0))
    taken = [rows[:n] for rows, n in zip(rows_by_class, counts, strict=True)]
    rows_by_class[:] = [rows[n:] for rows, n in zip(rows_by_class, counts, strict=True)]
    return taken


def apportion(total: int, sizes: Counts, minimum: Counts, maximum: Counts) -> Counts:
    """Whole numbers proportional to `sizes`, between `minimum` and `maximum`.

    They add up to `total`, or come as close to it as the limits allow.

    Args:
        total: the sum of the result.
        sizes: (C,) sizes of the classes.
        minimum, maximum: (C,) limits of the result.
    """
    total = int(np.clip(total, minimum.sum(), maximum.sum()))
    share = sizes * (total / max(1, sizes.sum()))
    counts: Counts = np.clip(np.floor(share).astype(np.int64), minimum, maximum)
    while (missing := total - int(counts.sum())) != 0:
        step = 1 if missing > 0 else -1
        adjustable = counts < maximum if step > 0 else counts > minimum
        deviation = np.where(adjustable, step * (share - counts), -np.inf)
        counts[int(np.argmax(deviation))] += step
    return counts


def _check_class_sizes(rows_by_class: list[Rows], classes: tuple[str, ...], needed: int) -> None:
    smallest = min(range(len(rows_by_class)), key=lambda number: len(rows_by_class[number]))
    if len(rows_by_class[smallest]) < needed:
        reason = ", one for each split that is held out" if needed > 1 else ""
        raise DataError(
            f"class {classes[smallest]!r} has {len(rows_by_class[smallest])} training images; "
            f"at least {needed} are needed{reason}. Add images or remove the class"
        )
