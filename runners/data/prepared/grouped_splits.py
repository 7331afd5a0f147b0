"""Hold out whole groups of images, stratified by class.

Images of one group, such as those of one patient or of one scene, resemble one another. If some of
them are in training and others in test, the accuracy is that for known patients.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ....errors import DataError
from ..dataset import Rows

Floats = npt.NDArray[np.float64]


def take_groups(
    rows_by_class: list[Rows],
    groups: Rows,
    total: int,
    *,
    leave: int,
    classes: tuple[str, ...],
    rng: np.random.Generator,
) -> list[Rows]:
    """Remove whole groups from the lists (in place), about `total` rows in all; return them.

    The groups come in random order, and each is taken if that brings the numbers of the classes
    closer to their share of `total`. Every class is taken from.

    Args:
        rows_by_class: the rows of each class.
        groups: the number of the group of every row of the split.
        total: rows to remove.
        leave: the number of groups of every class that remain at least.
        classes: names of the classes.
        rng: decides the order of the groups.

    Raises:
        DataError: a class is in too few groups.
    """
    counts = _GroupCounts(rows_by_class, groups)
    counts.check(classes, 1 + leave)
    share = counts.of_class * (total / max(1, counts.of_class.sum()))
    selection = _Selection(counts, np.maximum(share, np.minimum(counts.of_class, 1)), leave)
    for number in np.argsort(counts.groups_of_class, kind="stable"):
        if counts.groups_of_class[number]:
            selection.take_class(int(number), classes, rng)
    for group in rng.permutation(len(counts.names)):
        if selection.is_allowed(group) and selection.change(group) < 0:
            selection.take(group)
    chosen = np.isin(groups, counts.names[selection.is_taken])
    taken = [rows[chosen[rows]] for rows in rows_by_class]
    rows_by_class[:] = [rows[~chosen[rows]] for rows in rows_by_class]
    return taken


class _GroupCounts:
    """The images of each group by class.

    Attributes:
        names: the groups that have images, (G,).
        classes, images: of each group, the classes that it has, and how many images of each.
        groups: of each class, the groups that have it.
        of_class, groups_of_class: the images, and the groups, of each class, (C,).
    """

    def __init__(self, rows_by_class: list[Rows], groups: Rows) -> None:
        rows = np.concatenate(rows_by_class)
        labels = np.repeat(np.arange(len(rows_by_class)), list(map(len, rows_by_class)))
        self.names, numbers = np.unique(groups[rows], return_inverse=True)
        num_classes = len(rows_by_class)
        pairs, images = np.unique(numbers * num_classes + labels, return_counts=True)
        group_of, class_of = pairs // num_classes, pairs % num_classes
        ends = np.cumsum(np.bincount(group_of, minlength=len(self.names)))[:-1]
        self.classes, self.images = np.split(class_of, ends), np.split(images, ends)
        self.of_class = np.bincount(labels, minlength=num_classes)
        self.groups_of_class = np.bincount(class_of, minlength=num_classes)
        by_class = group_of[np.argsort(class_of, kind="stable")]
        self.groups = np.split(by_class, np.cumsum(self.groups_of_class)[:-1])

    def check(self, classes: tuple[str, ...], needed: int) -> None:
        """Raise a DataError if a class that has images is in fewer groups than are needed."""
        present = np.where(self.of_class > 0, self.groups_of_class, needed)
        number = int(np.argmin(present))
        if present[number] < needed:
            raise DataError(
                f"class {classes[number]!r} is in too few groups ({present[number]}) for every "
                "split to have one of its own; add images of other groups, remove the class, or "
                "ignore groups with --column group="
            )


class _Selection:
    """Groups that are taken so far.

    Args:
        counts: of all groups.
        share: images of each class to take, (C,).
        leave: groups of each class that have to remain.
    """

    def __init__(self, counts: _GroupCounts, share: Floats, leave: int) -> None:
        self.counts, self.share, self.leave = counts, share, leave
        self.is_taken = np.zeros(len(counts.names), bool)
        self.images = np.zeros(len(share))
        self.groups_left = counts.groups_of_class.copy()
        self.weights = 1 / np.maximum(share, 1)

    def is_allowed(self, group: int) -> bool:
        """Whether enough groups of its classes remain without it."""
        left = self.groups_left[self.counts.classes[group]]
        return not self.is_taken[group] and bool((left > self.leave).all())

    def change(self, group: int) -> float:
        """By how much the squared deviation from the share changes with a group."""
        classes, images = self.counts.classes[group], self.counts.images[group]
        missing = self.share[classes] - self.images[classes]
        return float((self.weights[classes] * images * (images - 2 * missing)).sum())

    def take(self, group: int) -> None:
        classes = self.counts.classes[group]
        self.is_taken[group] = True
        self.images[classes] += self.counts.images[group]
        self.groups_left[classes] -= 1

    def take_class(self, number: int, classes: tuple[str, ...], rng: np.random.Generator) -> None:
        """Take a group of a class, unless there is one: any that fits, or that fits best."""
        if self.images[number]:
            return
        candidates = rng.permutation(self.counts.groups[number]).tolist()
        allowed = [group for group in candidates if self.is_allowed(group)]
        if not allowed:
            raise DataError(
                f"no split of whole groups has images of class {classes[number]!r} in every part; "
                "add images of other groups, or ignore groups with --column group="
            )
        improving = (group for group in allowed if self.change(group) < 0)
        self.take(next(improving, min(allowed, key=self.change)))
