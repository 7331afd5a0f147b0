"""The Pareto front of a study and its knee.

A measured cost has a standard error, and two costs that differ by less than their noise are equal.
So architecture a dominates b if no value of a is worse than that of b by more than the noise of
their difference, and at least one is better by more than it. This relation has no cycles as long as
one objective alone is noisy, but it is not transitive: of three latencies, the first and the last
may differ although neither differs from the second. Therefore the front is the stable set of the
relation (von Neumann & Morgenstern 1944): no architecture on the front dominates another one there,
and every other architecture is dominated by one on the front. A relation without cycles has exactly
one stable set. With exact values it is the usual Pareto front.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from ...runners.results import MAX_EQUAL_ERRORS
from ..objectives import SCORE, Objective
from .findings import ArchitectureSummary

Matrix = npt.NDArray[np.float64]
Vector = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]


def pareto_front(
    points: Sequence[ArchitectureSummary], objectives: Sequence[Objective]
) -> tuple[ArchitectureSummary, ...]:
    """The architectures on the front, cheapest first.

    Args:
        points: the architectures; those that lack one of the objectives are left out.
        objectives: of the study.
    """
    known = [p for p in points if all(o.column in p.values for o in objectives)]
    if not known:
        return ()
    others = [o for o in objectives if o.column != SCORE]
    bare = next((index for index, p in enumerate(known) if p.architecture.bare), None)

    def column(key: str) -> Vector:
        return np.array([point.values.get(key, np.nan) for point in known], dtype=float)

    values = minimised_columns({o.column: column(o.column) for o in others}, others)
    errors = comparison_errors(column, [o.column for o in others])
    mask = find_front(column(SCORE), values.reshape(len(known), len(others)), errors, bare)
    front = [point for point, stays in zip(known, mask, strict=True) if stays]
    costs = [o.key for o in others if o.is_cost]
    return tuple(sorted(front, key=lambda p: ([p.values[key] for key in costs], -p.score)))


def find_front(
    scores: Vector,
    costs: Matrix,
    cost_errors: Matrix | None = None,
    bare: int | None = None,
) -> Mask:
    """(n,) whether each architecture is on the Pareto front.

    An architecture that is neither better than the bare backbone nor cheaper in any
    objective is never on the front, also if it equals the bare backbone in all of them.

    Args:
        scores: (n,) to be maximised.
        costs: (n, k) to be minimised; k may be 0.
        cost_errors: (n, k) standard errors of the costs, 0 where a cost is exact; None if all are.
        bare: the index of the bare backbone; None if it is not among the architectures.

    Raises:
        ValueError: more than one cost has errors.
    """
    errors = np.zeros_like(costs) if cost_errors is None else cost_errors
    candidates = np.arange(len(scores))
    if bare is not None:
        gains = scores > scores[bare]
        candidates = np.flatnonzero(gains | is_cheaper(costs, errors, bare) | (candidates == bare))
    values = np.column_stack([-scores, costs])[candidates]
    value_errors = np.column_stack([np.zeros(len(scores)), errors])[candidates]
    front = np.zeros(len(scores), dtype=bool)
    front[candidates[non_dominated(values, value_errors)]] = True
    return front


def comparison_errors(column: Callable[[str], Vector], keys: Sequence[str]) -> Matrix:
    """(n, k) the standard errors with which the costs of one study are compared.

    The milliseconds of all architectures are multiples of one measurement of the bare backbone,
    whose error they share. So they differ as their ratios do.

    Args:
        column: returns (n,) values of a cost or of its error by key; NaN where it is unknown.
        keys: of the costs.
    """
    errors = np.zeros((len(column("params")), len(keys)))
    for index, key in enumerate(keys):
        if key == "latency_ms":
            with np.errstate(divide="ignore", invalid="ignore"):
                reference = column("latency_ms") / column("latency_ratio")
            shared = column("latency_ratio_error") * reference
            errors[:, index] = np.where(np.isnan(shared), column("latency_ms_error"), shared)
    return np.nan_to_num(errors)


def cheapest(points: Sequence[ArchitectureSummary], key: str) -> list[ArchitectureSummary]:
    """The architectures whose cost equals the least one within the noise; all are if none has it.

    Args:
        points: the architectures.
        key: of the cost.
    """
    known = [point for point in points if key in point.values]
    if not known:
        return list(points)
    costs = np.array([[point.values[key]] for point in known])
    errors = comparison_errors(
        lambda name: np.array([point.values.get(name, np.nan) for point in known]), [key]
    )
    least = int(np.argmin(costs[:, 0]))
    noise = _noise(errors, errors[least])
    equal = (costs <= costs[least] + noise)[:, 0]
    return [point for point, is_equal in zip(known, equal, strict=True) if is_equal]


def costing_no_more(
    points: Sequence[ArchitectureSummary], reference: ArchitectureSummary, keys: Sequence[str]
) -> list[ArchitectureSummary]:
    """The architectures of which no cost exceeds that of the reference by more than the noise.

    Args:
        points: the architectures.
        reference: an architecture.
        keys: of the costs; one that an architecture lacks counts as 0.
    """
    compared = [reference, *points]

    def column(key: str) -> Vector:
        return np.array([point.values.get(key, np.nan) for point in compared], dtype=float)

    errors = comparison_errors(column, keys)
    values = np.array([column(key) for key in keys]).reshape(len(keys), len(compared))
    costs = np.nan_to_num(values.T)
    stays = (costs[1:] <= costs[0] + _noise(errors[1:], errors[0])).all(axis=1)
    return [point for point, costs_no_more in zip(points, stays, strict=True) if costs_no_more]


def is_cheaper(costs: Matrix, errors: Matrix, reference: int) -> Mask:
    """(n,) whether any cost is below that of the reference by more than the noise.

    Args:
        costs: (n, k) to be minimised.
        errors: (n, k) their standard errors, 0 where a cost is exact.
        reference: an index.
    """
    noise = _noise(errors, errors[reference])
    cheaper: Mask = (costs < costs[reference] - noise).any(axis=1)
    return cheaper


def non_dominated(values: Matrix, errors: Matrix | None = None) -> Mask:
    """(n,) whether each row of (n, k) values, all to be minimised, is on their front.

    Rows that are equal do not dominate each other.

    Args:
        values: (n, k); infinite values are allowed.
        errors: (n, k) standard errors, 0 where a value is exact; None if all are exact.

    Raises:
        ValueError: more than one column has errors, so that the relation may have cycles.
    """
    stays = np.zeros(len(values), dtype=bool)
    if not len(values):
        return stays
    errors = np.zeros_like(values) if errors is None else errors
    noisy = (errors > 0).any(axis=0)
    if noisy.sum() > 1:
        raise ValueError("only one objective may have errors")
    # Ranks, because infinite values can be ranked but not added.
    ranks = np.zeros(len(values))
    for column in values.T[~noisy]:
        ranks += np.unique(column, return_inverse=True)[1]
    remaining = np.lexsort((*values.T[noisy], ranks))
    while len(remaining):
        # A row that dominates another has a smaller sum of ranks of exact values, or equal exact
        # values and a smaller noisy one. So no remaining row dominates the first one, which usually
        # dominates most of them.
        first, remaining = remaining[0], remaining[1:]
        stays[first] = True
        rows, noise = values[remaining], _noise(errors[remaining], errors[first])
        is_worse = rows > values[first] + noise
        is_better = rows < values[first] - noise
        remaining = remaining[is_better.any(axis=1) | ~is_worse.any(axis=1)]
    return stays


def _noise(errors: Matrix, reference: Vector) -> Matrix:
    """(n, k) the largest differences that count as equal; 0 between exact values."""
    return MAX_EQUAL_ERRORS * np.hypot(errors, reference)


def find_knee(
    front: Sequence[ArchitectureSummary], objectives: Sequence[Objective]
) -> ArchitectureSummary | None:
    """The best compromise on a front: the point furthest below the plane through its extremes.

    Every objective is scaled to [0, 1] over the front. With two objectives the plane is the line
    between the two ends. The distance is largest where the scaled values have the smallest sum.
    Ties, as between the two points of a front of two, go to the one with the highest score.

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
    return max(nearest, key=lambda point: point.score)


def minimised_values(
    points: Sequence[ArchitectureSummary], objectives: Sequence[Objective]
) -> Matrix:
    """(architectures, objectives) values, with the sign changed if the objective is maximised."""
    columns = [objective.column for objective in objectives]
    values = {key: np.array([p.values[key] for p in points], dtype=float) for key in columns}
    return minimised_columns(values, objectives)


def minimised_columns(values: Mapping[str, Matrix], objectives: Sequence[Objective]) -> Matrix:
    """(n, objectives) values from arrays (n,) by column; scores of a metric change their sign."""
    signs = [1.0 if o.is_cost else -1.0 for o in objectives]
    columns = zip(signs, objectives, strict=True)
    if not objectives:
        return np.zeros((0, 0))
    return np.stack([sign * values[o.column] for sign, o in columns], 1)
