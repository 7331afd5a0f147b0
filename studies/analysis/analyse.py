"""What the trials of a study say: pure functions from records to frozen values.

The unit is the architecture: one point is the mean of its complete trials over their seeds, less
what all trials of those seeds share (`luck`), with its standard error. A gain is accuracy minus the
bare backbone's, taken between trials of one seed wherever both exist ("paired"). Accuracies are
fractions here; drawing turns them into percent. Confirming trials are judged on other data, so the
search's analysis leaves them out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ...spaces.architecture import Architecture, Insertion
from ...spaces.attentions.catalogue import ATTENTIONS
from ..objectives import Objective, objective
from ..records import CONFIRM, STATES, State, StudyRecord, TrialRecord
from .best import find_best
from .findings import (
    ArchitectureSummary,
    AttentionTable,
    FailureGroup,
    Findings,
    MeanGain,
    standard_error,
)
from .trial_table import ArchitectureTable, TrialTable

NONE = "none"
Matrix = npt.NDArray[np.float64]
Vector = npt.NDArray[np.float64]


def analyse(
    study: StudyRecord, trials: Sequence[TrialRecord], *, stages: int | None = None
) -> Findings:
    """All findings of a study. `stages` is how many the backbone has: by default what the study's
    config says, or else the highest that any architecture names."""
    objectives = tuple(objective(name) for name in study.objectives)
    architectures = ArchitectureTable.of(TrialTable.of(t for t in trials if t.role != CONFIRM))
    points = tuple(architectures.summaries(range(len(architectures))))
    front, best = pareto_front(points, objectives), find_best(architectures)
    known = stages or study.config.stages
    return Findings(
        objectives=objectives,
        counts=count_states(trials),
        architectures=points,
        front=front,
        bare=next((point for point in points if point.architecture.bare), None),
        best=None if best is None else points[best],
        knee=find_knee(front, objectives),
        noise=architectures.noise,
        table=tabulate_gains(points, known),
    )


def count_states(trials: Iterable[TrialRecord]) -> dict[State, int]:
    """Trials by state, all states present."""
    found = Counter(trial.state for trial in trials)
    return {state: found[state] for state in STATES}


def pareto_front(
    points: Sequence[ArchitectureSummary], objectives: Sequence[Objective]
) -> tuple[ArchitectureSummary, ...]:
    """The points that no other dominates, cheapest first; points that lack a value stay out."""
    able = [p for p in points if all(o.key in p.values for o in objectives)]
    mask = non_dominated(minimised_values(able, objectives))
    front = [point for point, kept in zip(able, mask, strict=True) if kept]
    costs = [o.key for o in objectives if o.key != "accuracy"]
    return tuple(sorted(front, key=lambda p: ([p.values[key] for key in costs], -p.accuracy)))


def non_dominated(values: Matrix) -> npt.NDArray[np.bool_]:
    """Which rows of (n, k) values, all to be minimised, are not dominated.

    A row is dominated by one that is nowhere larger and somewhere smaller; equal rows all stay.
    """
    kept = np.zeros(len(values), dtype=bool)
    if not len(values):
        return kept
    ranks = [np.unique(column, return_inverse=True)[1] for column in values.T]  # inf has one too
    left = np.argsort(np.sum(ranks, axis=0), kind="stable")
    while len(left):
        # What dominates a row has a smaller sum of ranks: none that is left dominates the first,
        # which usually dominates most of them.
        first, left = left[0], left[1:]
        kept[first] = True
        others = values[left]
        worse = (others >= values[first]).all(axis=1) & (others > values[first]).any(axis=1)
        left = left[~worse]
    return kept


def find_knee(
    front: Sequence[ArchitectureSummary], objectives: Sequence[Objective]
) -> ArchitectureSummary | None:
    """The front's best compromise: furthest below the plane through its extremes.

    Every objective is scaled to [0, 1] over the front; with two, the plane is the line between
    the two ends. The distance is then largest where the scaled values sum to least. Ties, and a
    front of one or two, go to the highest accuracy.
    """
    if not front:
        return None
    values = minimised_values(front, objectives)
    low, span = values.min(axis=0), np.ptp(values, axis=0)
    scaled = (values - low) / np.where(span > 0, span, 1.0)
    sums = scaled.sum(axis=1)
    near = [p for p, total in zip(front, sums, strict=True) if total <= sums.min() + 1e-9]
    return max(near, key=lambda point: point.accuracy)


def tabulate_gains(
    points: Sequence[ArchitectureSummary], stages: int | None = None
) -> AttentionTable:
    """Mean gain by attention and stage, each architecture counted once.

    `none` collects the architectures that leave the stage alone, the bare backbone excepted.
    """
    able = [(p.architecture, p.gain.mean) for p in points if p.gain is not None]
    named = [i for architecture, _ in able for i in architecture.insertions]
    total = stages or max((place.last for i in named for place in i.places), default=0)
    columns = tuple(f"s{stage}" for stage in range(1, total + 1)) or ("all",)
    gains: dict[tuple[str, str], list[float]] = {}
    for architecture, gain in able:
        for column, names in zip(columns, attentions_by_stage(architecture, total), strict=True):
            for name in names or (NONE,):
                gains.setdefault((name, column), []).append(gain)
    present = {name for name, _ in gains}
    others = sorted(present - {*ATTENTIONS, NONE})  # people's own
    rows = tuple(name for name in (*ATTENTIONS, *others, NONE) if name in present)
    cells = {
        where: MeanGain(float(np.mean(group)), standard_error(group), len(group))
        for where, group in gains.items()
    }
    return AttentionTable(rows, columns if rows else (), cells)


def group_failures(trials: Iterable[TrialRecord]) -> tuple[FailureGroup, ...]:
    """Failures grouped by kind, then by message, the commonest first."""
    kinds: dict[str, dict[str, tuple[int, ...]]] = {}
    for trial in trials:
        if trial.failure is not None:
            messages = kinds.setdefault(trial.failure.kind, {})
            message = trial.failure.message
            messages[message] = (*messages.get(message, ()), trial.number)
    groups = [
        FailureGroup(
            kind,
            sum(map(len, messages.values())),
            dict(sorted(messages.items(), key=lambda item: -len(item[1]))),
        )
        for kind, messages in kinds.items()
    ]
    return tuple(sorted(groups, key=lambda group: -group.count))


def main_attention(architecture: Architecture, stages: int = 0) -> str:
    """The attention that more stages have than any other; `mixed` if two tie, `none` if bare."""
    found = Counter(
        name for names in attentions_by_stage(architecture, stages) for name in names
    ) or Counter(i.attention for i in architecture.insertions)
    if not found:
        return NONE
    (first, most), *others = found.most_common()
    return "mixed" if others and others[0][1] == most else first


def show_json(
    study: StudyRecord, trials: Sequence[TrialRecord], *, rejected: int = 0
) -> dict[str, Any]:
    """The contract of `attentune show STUDY --json`.

    `pareto` has one trial for every architecture on the front, its first complete one; `baseline`
    is the first complete trial of the bare backbone, or its first one while none is complete.
    `architectures` has what front, best and knee are judged by: means, less what seeds share.
    """
    found = analyse(study, trials)
    bare = [t for t in trials if t.role != CONFIRM and t.parsed.bare]
    ranked = sorted(bare, key=lambda trial: (trial.state != "complete", trial.number))
    return {
        "study": study.name,
        "backbone": study.backbone,
        "directions": {o.key: o.direction for o in found.objectives},
        "counts": dict(found.counts),
        "rejected": rejected,
        "trials": [_trial_json(trial) for trial in trials],
        "architectures": [
            {
                "number": point.number,
                "key": point.architecture.key,
                "seeds": list(point.seeds),
                "accuracy": point.accuracy,
                "standard_error": point.standard_error,
            }
            for point in found.architectures
        ],
        "pareto": sorted(point.number for point in found.front),
        "best": found.best.number if found.best else None,
        "knee": found.knee.number if found.knee else None,
        "baseline": ranked[0].number if ranked else None,
    }


def _trial_json(trial: TrialRecord) -> dict[str, Any]:
    failure = trial.failure
    return {
        "number": trial.number,
        "state": trial.state,
        "role": trial.role,
        "architecture": trial.architecture,
        "key": trial.key,
        "seed": trial.seed,
        "epochs": trial.epochs,
        "values": trial.values,
        "failure": failure and {"kind": failure.kind, "message": failure.message},
        "seconds": trial.seconds,
    }


def minimised_values(
    points: Sequence[ArchitectureSummary], objectives: Sequence[Objective]
) -> Matrix:
    """Their objectives as rows (n, k), each turned so that less is better."""
    values = {o.key: np.array([p.values[o.key] for p in points], dtype=float) for o in objectives}
    return minimised_columns(values, objectives)


def minimised_columns(values: Mapping[str, Matrix], objectives: Sequence[Objective]) -> Matrix:
    """The same of arrays (n,) by key."""
    signs = [-1.0 if o.direction == "maximize" else 1.0 for o in objectives]
    return np.stack([sign * values[o.key] for sign, o in zip(signs, objectives, strict=True)], 1)


def attentions_by_stage(architecture: Architecture, stages: int) -> list[list[str]]:
    """The attentions of every stage; with `stages` 0, of the whole network as one."""
    if not stages:
        return [list(dict.fromkeys(i.attention for i in architecture.insertions))]
    return [
        list(dict.fromkeys(i.attention for i in architecture.insertions if reaches_stage(i, stage)))
        for stage in range(1, stages + 1)
    ]


def reaches_stage(insertion: Insertion, stage: int) -> bool:
    """Whether an insertion has blocks of a stage."""
    return any(not p.first or p.first <= stage <= p.last for p in insertion.places)
