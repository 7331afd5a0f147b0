"""Which pictures train, which validate, which test: by seed, and with every class in its share.

A source's own validation and test splits are used as they are. What it lacks is taken out of its
training pictures, test first: `val_fraction` of them for the test (at most `train_limit`), then, of
what is left, at most `train_limit` pictures for training and validation together, of which
`val_fraction` validate. With a limit, an own validation split is cut down to that number too; an
own test split stays whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ...errors import DataError
from ..recipe import Recipe
from .dataset import Labels, SplitName
from .source import Integers


@dataclass(frozen=True)
class Selection:
    """Rows of one split of the source."""

    split: SplitName
    rows: Integers


@dataclass(frozen=True)
class SplitPlan:
    """Where every split's pictures come from, and which splits the source lacked."""

    selections: Mapping[SplitName, Selection]
    held_out: tuple[SplitName, ...]


def plan_splits(
    labels: Mapping[SplitName, Labels], classes: tuple[str, ...], recipe: Recipe
) -> SplitPlan:
    """Deal the pictures out; DataError if a class or the limit is too small for that.

    `labels` are the source's own splits, `train` among them.
    """
    held_out: tuple[SplitName, ...] = tuple(s for s in ("val", "test") if s not in labels)
    rng = np.random.default_rng(recipe.data_seed)
    piles = _piles(labels["train"], len(classes), rng)
    _check_piles(piles, classes, 1 + len(held_out))
    chosen: dict[SplitName, Selection] = {}
    if "test" in held_out:
        total = round(recipe.val_fraction * len(labels["train"]))
        taken = _take(piles, min(total, recipe.train_limit or total), 1, leave=len(held_out))
        chosen["test"] = Selection("train", np.sort(np.concatenate(taken)))
    else:
        chosen["test"] = Selection("test", np.arange(len(labels["test"])))
    train, chosen["val"] = _train_and_val(labels, piles, recipe, rng)
    chosen["train"] = Selection("train", rng.permutation(np.concatenate(train)))
    return SplitPlan({split: chosen[split] for split in ("train", "val", "test")}, held_out)


def _train_and_val(
    labels: Mapping[SplitName, Labels],
    piles: list[Integers],
    recipe: Recipe,
    rng: np.random.Generator,
) -> tuple[list[Integers], Selection]:
    fraction, limit = recipe.val_fraction, recipe.train_limit
    if limit is not None and limit < 2 * len(piles):
        raise DataError(
            f"train_limit={limit} is too few for {len(piles)} classes; "
            f"use at least {2 * len(piles)}"
        )
    if "val" not in labels:
        limited = piles if limit is None else _take(piles, limit, 2)
        held = _take(limited, round(fraction * sum(map(len, limited))), 1, leave=1)
        return limited, Selection("train", np.sort(np.concatenate(held)))
    if limit is None:
        return piles, Selection("val", np.arange(len(labels["val"])))
    validating = max(1, round(fraction * limit))
    own = _piles(labels["val"], len(piles), rng)
    kept = np.sort(np.concatenate(_take(own, validating, 0)))
    return _take(piles, limit - validating, 1), Selection("val", kept)


def _piles(labels: Labels, classes: int, rng: np.random.Generator) -> list[Integers]:
    """The rows of every class, shuffled."""
    order = rng.permutation(len(labels))
    order = order[np.argsort(labels[order], kind="stable")]
    ends = np.cumsum(np.bincount(labels, minlength=classes))[:-1]
    return np.split(order, ends)


def _take(piles: list[Integers], total: int, least: int, *, leave: int = 0) -> list[Integers]:
    """Take `total` rows off the piles (in place), each class in its share.

    Every pile gives at least `least` rows and keeps at least `leave`.
    """
    counts = np.array([len(pile) for pile in piles])
    numbers = allot(total, counts, np.minimum(least, counts), np.maximum(counts - leave, 0))
    taken = [pile[:n] for pile, n in zip(piles, numbers, strict=True)]
    piles[:] = [pile[n:] for pile, n in zip(piles, numbers, strict=True)]
    return taken


def allot(total: int, counts: Integers, least: Integers, most: Integers) -> Integers:
    """Whole numbers near `counts`' shares of `total`, between `least` and `most`.

    They add up to `total`, or come as near as the bounds allow.
    """
    total = int(np.clip(total, least.sum(), most.sum()))
    share = counts * (total / max(1, counts.sum()))
    given: Integers = np.clip(np.floor(share).astype(np.int64), least, most)
    while (missing := total - int(given.sum())) != 0:
        step = 1 if missing > 0 else -1
        open_ = given < most if step > 0 else given > least
        want = np.where(open_, step * (share - given), -np.inf)
        given[int(np.argmax(want))] += step
    return given


def _check_piles(piles: list[Integers], classes: tuple[str, ...], needed: int) -> None:
    poorest = min(range(len(piles)), key=lambda number: len(piles[number]))
    if len(piles[poorest]) < needed:
        held = ", one for each split that is held out" if needed > 1 else ""
        raise DataError(
            f"class {classes[poorest]!r} has {len(piles[poorest])} training pictures; "
            f"at least {needed} are needed{held}. Add pictures or remove the class"
        )
