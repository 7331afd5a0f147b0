"""The Pareto front of a study and its knee."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from ..objectives import Objective
from .findings import ArchitectureSummary

Matrix = npt.NDArray[np.float64]


def pareto_front(
    points: Sequence[ArchitectureSummary], objectives: Sequence[Objective]
) -> tuple[ArchitectureSummary, ...]:
    """The architectures that no other dominates, cheapest first.

    Args:
        points: the architectures; those that lack one of the objectives are left out.
        objectives: of the study.
    """
    known = [p for p in points if all(o.key in p.values for o in objectives)]
    mask = non_dominated(minimised_values(known, objectives))
    front = [point for point, stays in zip(known, mask, strict=True) if stays]
    costs = [o.key for o in objectives if o.key != "accuracy"]
    return tuple(sorted(front, key=lambda p: ([p.values[key] for key in costs], -p.accuracy)))


def non_dominated(values: Matrix) -> npt.NDArray[np.bool_]:
    """(n,) whether each row of (n, k) values, all to be minimised, is not dominated.

    A row is dominated by another that is nowhere larger and somewhere smaller. Equal rows do not
    dominate each other.
    """
    stays = np.zeros(len(values), dtype=bool)
    if not len(values):
        return stays
    # Ranks, because infinite values can be ranked but not added.
    ranks = [np.unique(column, return_inverse=True)[1] for column in values.T]
    remaining = np.argsort(np.sum(ranks, axis=0), kind="stable")
    while len(remaining):
        # A row that dominates another has a smaller sum of ranks. So no remaining row dominates the
        # first one, which usually dominates most of them.
        first, remaining = remaining[0], remaining[1:]
        stays[first] = True
        rows = values[remaining]
        worse = (rows >= values[first]).all(axis=1) & (rows > values[first]).any(axis=1)
        remaining = remaining[~worse]
    return stays


def find_knee(
    front: Sequence[ArchitectureSummary], objectives: Sequence[Objective]
) -> ArchitectureSummary | None:
    """The best compromise on a front: the point furthest below the plane through its extremes.

    Every objective is scaled to [0, 1] over the front. With two objectives the plane is the line
    between the two ends. The distance is largest where the scaled values have the smallest sum.
    Ties, as between the two points of a front of two, go to the most accurate.

    Args:
        front: the architectures on it.
        objectives: of the study.
    """
    if not front:
        return None
    values = minimised_values(front, objectives)
    low, span = values.min(axis=0), np.ptp(values, axis=0)
    scaled = (values - low) / np.where(span > 0, span, 1.0)
    sums = scaled.sum(axis=1)
    nearest = [p for p, total in zip(front, sums, strict=True) if total <= sums.min() + 1e-9]
    return max(nearest, key=lambda point: point.accuracy)


def minimised_values(
    points: Sequence[ArchitectureSummary], objectives: Sequence[Objective]
) -> Matrix:
    """(architectures, objectives) values, with the sign changed if the objective is maximised."""
    values = {o.key: np.array([p.values[o.key] for p in points], dtype=float) for o in objectives}
    return minimised_columns(values, objectives)


def minimised_columns(values: Mapping[str, Matrix], objectives: Sequence[Objective]) -> Matrix:
    """(n, objectives) values from arrays (n,) by key; those to be maximised change their sign."""
    signs = [-1.0 if o.direction == "maximize" else 1.0 for o in objectives]
    return np.stack([sign * values[o.key] for sign, o in zip(signs, objectives, strict=True)], 1)
