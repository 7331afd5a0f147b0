"""Choose the images for training, validation and test, by seed and stratified by class.

A source's own validation and test splits are used as they are. A split that it lacks is held out of
its training images, first the test split: `val_fraction` of them (at most `train_limit`). Of the
rest, at most `train_limit` images are used for training and validation together, and `val_fraction`
of these for validation. With a limit, the source's own validation split is reduced to that number
too; its own test split is not reduced. Where images belong to groups, whole groups are held out.
With a `fold`, the test split is one of several folds of about the same size.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ....errors import DataError
from ...recipe import Recipe
from ..dataset import Labels, Rows, SplitName
from .grouped_splits import take_groups

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
    labels: Mapping[SplitName, Labels],
    classes: tuple[str, ...],
    recipe: Recipe,
    groups: Mapping[SplitName, Rows] | None = None,
) -> SplitPlan:
    """Choose the images of every split.

    Args:
        labels: those of the source's own splits, `train` among them.
        classes: names of the classes, in the order of the labels.
        recipe: its `val_fraction`, `train_limit`, `fold` and `data_seed` are used.
        groups: the group of each image of `train`; whole groups are held out. Empty or None if
            there are none.

    Raises:
        DataError: a class has too few images or groups, the limit is too small, or folds are asked
            for where there is a test split.
    """
    held_out: tuple[SplitName, ...] = tuple(s for s in ("val", "test") if s not in labels)
    rng = np.random.default_rng(recipe.data_seed)
    remaining = _shuffled_rows_by_class(labels["train"], len(classes), rng)
    _check_class_sizes(remaining, classes, 1 + len(held_out), recipe.num_folds)
    take = _HoldOut(classes, (groups or {}).get("train"), rng)
    selections: dict[SplitName, RowSelection] = {}
    if "test" in held_out:
        if recipe.fold is not None:
            test = _take_fold(remaining, recipe, take)
        else:
            total = round(recipe.val_fraction * len(labels["train"]))
            total = min(total, recipe.train_limit or total)
            test = take(remaining, total, leave=len(held_out))
        selections["test"] = RowSelection("train", np.sort(np.concatenate(test)))
    elif recipe.fold is not None:
        raise DataError(
            "these data have a test split of their own, so they are not divided into folds; leave "
            "out --fold"
        )
    else:
        selections["test"] = RowSelection("test", np.arange(len(labels["test"])))
    train, selections["val"] = _select_train_and_val(labels, remaining, recipe, take)
    selections["train"] = RowSelection("train", rng.permutation(np.concatenate(train)))
    return SplitPlan({split: selections[split] for split in ("train", "val", "test")}, held_out)


@dataclass(frozen=True)
class _HoldOut:
    """Removes images of every class, whole groups of them if there are groups.

    Attributes:
        classes: names of the classes.
        groups: of all rows; None if there are none.
        rng: shuffles groups.
    """

    classes: tuple[str, ...]
    groups: Rows | None
    rng: np.random.Generator

    def __call__(self, rows_by_class: list[Rows], total: int, *, leave: int) -> list[Rows]:
        """Remove about `total` rows from the lists (in place), some of every class; return them.

        Args:
            rows_by_class: the rows of each class.
            total: rows to remove; exactly so many if there are no groups.
            leave: rows or groups of each class that remain at least.
        """
        if self.groups is None:
            return _take_rows(rows_by_class, total, at_least=1, leave=leave)
        return take_groups(
            rows_by_class, self.groups, total, leave=leave, classes=self.classes, rng=self.rng
        )


def _take_fold(rows_by_class: list[Rows], recipe: Recipe, take: _HoldOut) -> list[Rows]:
    """Divide the rows into folds; remove those of the recipe's fold (in place), return them."""
    folds: list[list[Rows]] = []
    for later in range(recipe.num_folds - 1, 0, -1):
        total = round(sum(map(len, rows_by_class)) / (later + 1))
        folds.append(take(rows_by_class, total, leave=later))
    folds.append(rows_by_class.copy())
    test = folds.pop(recipe.fold_number - 1)
    rows_by_class[:] = [np.concatenate(rows) for rows in zip(*folds, strict=True)]
    return test


def _select_train_and_val(
    labels: Mapping[SplitName, Labels], remaining: list[Rows], recipe: Recipe, take: _HoldOut
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
        val = take(train, total, leave=1)
        return train, RowSelection("train", np.sort(np.concatenate(val)))
    if limit is None:
        return remaining, RowSelection("val", np.arange(len(labels["val"])))
    total = max(1, round(fraction * limit))
    val_rows = _shuffled_rows_by_class(labels["val"], len(remaining), take.rng)
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


def _check_class_sizes(
    rows_by_class: list[Rows], classes: tuple[str, ...], num_splits: int, num_folds: int
) -> None:
    needed = max(num_splits, num_folds)
    smallest = min(range(len(rows_by_class)), key=lambda number: len(rows_by_class[number]))
    if len(rows_by_class[smallest]) < needed:
        reason = ", one for each split that is held out" if needed > 1 else ""
        reason = ", one for each fold" if num_folds > num_splits else reason
        count = len(rows_by_class[smallest])
        raise DataError(
            f"class {classes[smallest]!r} has {count} training image{'s' * (count != 1)}; at least "
            f"{needed} are needed{reason}. Add images or remove the class"
        )
