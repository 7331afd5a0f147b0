"""The analysis of a study: pure functions from records to frozen values.

The unit is the architecture. Its score and its gain over the bare backbone come from the one
estimate of the study (`estimator.study_estimate`). Confirming trials are
evaluated on the test split, so the analysis of a search leaves them out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from ...spaces.architecture import Architecture, Insertion
from ..estimator.study_model import StudyModel
from ..objectives import objectives_of
from ..records import CONFIRM, STATES, State, StudyRecord, TrialRecord
from .architecture_table import ArchitectureTable
from .best import find_best
from .evaluation_images import EvaluationImages
from .findings import ArchitectureSummary, FailureGroup, Findings
from .image_sampling import count_images
from .pareto import find_knee, pareto_front
from .score_json import score_json
from .trial_table import TrialTable

NONE = "none"
"""The name of "no attention": the row of stages without attention, and the bare backbone."""


def analyse(
    study: StudyRecord, trials: Sequence[TrialRecord], model: StudyModel | None = None
) -> Findings:
    """All findings of a study.

    Args:
        study: its objectives are used, and the number of stages in its config.
        trials: of the study.
        model: of the study, with its epochs and insertions; by default one that knows neither.
    """
    objectives = objectives_of(study.objectives)
    counted = [trial for trial in trials if trial.role != CONFIRM]
    further = {
        o.column: {t.number: o.score_of(t.further[o.key]) for t in counted if o.key in t.further}
        for o in objectives
        if o.is_further
    }
    model = StudyModel.of(study) if model is None else model
    table = ArchitectureTable.of(TrialTable.of(counted), model, further)
    architectures = tuple(table.summaries(range(len(table))))
    front, best = pareto_front(architectures, objectives), find_best(table)
    return Findings(
        objectives=objectives,
        counts=count_states(trials),
        architectures=architectures,
        front=front,
        bare=next((a for a in architectures if a.architecture.bare), None),
        best=None if best is None else architectures[best],
        knee=find_knee(front, objectives),
        noise=table.noise,
        stages=study.config.stages or 0,
        images=infer_images(study, architectures),
    )


def infer_images(
    study: StudyRecord, architectures: Iterable[ArchitectureSummary]
) -> EvaluationImages:
    """The validation images as far as accuracies show them; `read_images` knows more.

    Args:
        study: its config holds the number of classes.
        architectures: of the study.
    """
    classes = study.config.num_classes
    accuracies = [accuracy for summary in architectures for accuracy in summary.accuracies]
    share = None if classes is None else 1 / classes
    return EvaluationImages(count_images(accuracies), False, share)


def count_states(trials: Iterable[TrialRecord]) -> dict[State, int]:
    """The number of trials in each state."""
    counts = Counter(trial.state for trial in trials)
    return {state: counts[state] for state in STATES}


def group_failures(trials: Iterable[TrialRecord]) -> tuple[FailureGroup, ...]:
    """Failures grouped by kind, then by message, the most frequent first."""
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
    """The attention of the most stages; `mixed` if two tie, `none` if there is no attention.

    Args:
        architecture: the architecture.
        stages: of the backbone; 0 if it is unknown.
    """
    counts = Counter(
        name for names in attentions_by_stage(architecture, stages) for name in names
    ) or Counter(i.attention for i in architecture.changes)
    if not counts:
        return NONE
    (first, most), *rest = counts.most_common()
    return "mixed" if rest and rest[0][1] == most else first


def show_json(
    study: StudyRecord,
    trials: Sequence[TrialRecord],
    findings: Findings | None = None,
    *,
    rejected: int = 0,
) -> dict[str, Any]:
    """The contract of `attentune show STUDY --json`.

    `pareto` has one trial for every architecture on the front, its first complete one. `baseline`
    is the first complete trial of the bare backbone, or its first one while none is complete.
    `architectures` holds the estimates from which front, best and knee follow, and the values as
    measured, by seed; see `score_json`. `gain` is against the bare backbone and positive if that is
    worse, also for a loss, a fraction like its error; both are null for itself.

    Args:
        study: the study.
        trials: of the study.
        findings: of the study; by default those that follow from these trials alone.
        rejected: how many architectures a cost limit rejected.
    """
    findings = analyse(study, trials) if findings is None else findings
    bare = [t for t in trials if t.role != CONFIRM and t.parsed.bare]
    ranked = sorted(bare, key=lambda trial: (trial.state != "complete", trial.number))
    return {
        "study": study.name,
        "backbone": study.backbone,
        "metric": findings.metric.key,
        "directions": {o.key: o.direction for o in findings.objectives},
        "counts": dict(findings.counts),
        "rejected": rejected,
        "trials": [trial_json(trial) for trial in trials],
        "architectures": [
            {
                "number": summary.number,
                "key": summary.architecture.key,
                "architecture": str(summary.architecture),
                "seeds": list(summary.seeds),
                **score_json(findings.metric, summary.score, summary.scores, summary.accuracies),
                "standard_error": summary.standard_error,
                "gain": summary.gain,
                "gain_error": summary.gain_error,
                "front": summary in findings.front,
            }
            for summary in findings.architectures
        ],
        "pareto": sorted(point.number for point in findings.front),
        "best": findings.best.number if findings.best else None,
        "knee": findings.knee.number if findings.knee else None,
        "baseline": ranked[0].number if ranked else None,
    }


def trial_json(trial: TrialRecord) -> dict[str, Any]:
    """One entry of `trials` in `show_json`."""
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


def attentions_by_stage(architecture: Architecture, stages: int) -> list[list[str]]:
    """The attentions of each stage; if `stages` is 0, the whole network counts as one stage."""
    if not stages:
        return [list(dict.fromkeys(i.attention for i in architecture.changes))]
    return [
        list(dict.fromkeys(i.attention for i in architecture.changes if reaches_stage(i, stage)))
        for stage in range(1, stages + 1)
    ]


def reaches_stage(insertion: Insertion, stage: int) -> bool:
    """Whether an insertion includes blocks of a stage."""
    return any(not p.first or p.first <= stage <= p.last for p in insertion.places)
