"""What the alternatives to attention gain over the bare backbone, and what they cost.

An alternative is no architecture of the space, so the model of the study does not contain it, and
its results change nothing about any architecture. It is compared with what the model says about
the bare backbone. With seed s, an alternative reaches

    score = worth + seed[s] + noise

where the effect of the seed is that of the estimate of the study (`estimator.study_estimate`),
which all trials of this seed share. So its score is the mean of what remains without the effects
of the seeds, with a flat prior, and its gain is that minus the score of the bare backbone. An
alternative runs only with seeds with which the bare backbone is complete, and both have the noise
of a trial, σ. So the standard error of the gain is that of n paired differences, σ·√(2/n); where
other architectures have the same seeds, it is rather smaller.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ...runners.recipe import Recipe
from ...runners.results import Failure
from ..alternatives import Alternative, AlternativeKind
from ..objectives import Objective
from ..records import StudyRecord, TrialRecord
from .findings import Findings
from .score_json import score_json


@dataclass(frozen=True)
class AlternativeSummary:
    """What the trials of one alternative show.

    Attributes:
        alternative: what is trained.
        recipe: with which it is trained.
        numbers, seeds: of its complete trials.
        scores, accuracies: of these trials, as measured; see `findings`.
        running: the number of trials that have not ended.
        failure: of its last failed trial, if none is complete or running.
        score: for an average seed; None before the first complete trial.
        gain, gain_error: over the bare backbone, and its standard error.
        values: its costs by key; see `Costs`.
        training_ratio: multiply-adds of its training as a multiple of the bare backbone's; None if
            the bare backbone is not complete.
        exceeded_limit: the limit of the study that it exceeds, as a sentence; None if it exceeds
            none.
    """

    alternative: Alternative
    recipe: Recipe
    numbers: tuple[int, ...]
    seeds: tuple[int, ...]
    scores: tuple[float, ...]
    accuracies: tuple[float, ...]
    running: int
    failure: Failure | None
    score: float | None
    gain: float | None
    gain_error: float | None
    values: Mapping[str, float]
    training_ratio: float | None
    exceeded_limit: str | None


@dataclass(frozen=True)
class AlternativesSummary:
    """What all alternatives of a study show.

    Attributes:
        alternatives: in the order of `ALTERNATIVE_KINDS`.
        metric: of their scores.
        missing: why there is none of a kind, by the kind.
        bare_values: costs of the bare backbone, by key; empty if it is not complete.
        bare_epochs: of its trials.
    """

    alternatives: tuple[AlternativeSummary, ...]
    metric: Objective
    missing: Mapping[AlternativeKind, str]
    bare_values: Mapping[str, float]
    bare_epochs: int

    def to_json(self) -> dict[str, Any]:
        """The part of `attentune show --json` about alternatives."""
        return {
            "alternatives": [_summary_json(summary, self.metric) for summary in self.alternatives],
            "missing": dict(self.missing),
        }


def analyse_alternatives(
    study: StudyRecord,
    findings: Findings,
    searched: Iterable[TrialRecord],
    trials: Sequence[TrialRecord],
) -> AlternativesSummary | None:
    """What the alternatives of a study show; None if none were asked for.

    Args:
        study: its config holds the alternatives.
        findings: of the search.
        searched: trials of the search, for the costs of the bare backbone.
        trials: those of the alternatives.
    """
    plan = study.config.alternatives
    if not plan.alternatives and not plan.missing:
        return None
    bare = [t for t in searched if t.state == "complete" and t.architecture == study.backbone]
    bare_values = bare[0].values if bare else {}
    summaries = (
        _summarize(study, alternative, findings, trials, bare_values)
        for alternative in plan.alternatives
    )
    return AlternativesSummary(
        tuple(summaries), findings.metric, plan.missing, bare_values, study.config.recipe.epochs
    )


def _summarize(
    study: StudyRecord,
    alternative: Alternative,
    findings: Findings,
    trials: Iterable[TrialRecord],
    bare_values: Mapping[str, float],
) -> AlternativeSummary:
    own_trials = [trial for trial in trials if trial.alternative == alternative.kind]
    complete = [t for t in own_trials if t.state == "complete" and t.score is not None]
    running = sum(trial.state == "running" for trial in own_trials)
    failures = [trial.failure for trial in own_trials if trial.failure is not None]
    by_seed = {trial.seed: trial.score for trial in complete if trial.score is not None}
    score = gain = error = None
    if by_seed:
        effects = {} if findings.noise is None else findings.noise.seed_effects
        score = float(np.mean([y - effects.get(seed, 0.0) for seed, y in by_seed.items()]))
        if findings.bare is not None and findings.noise is not None:
            gain = score - findings.bare.score
            error = findings.noise.deviation * math.sqrt(2 / len(by_seed))
    return AlternativeSummary(
        alternative=alternative,
        recipe=alternative.recipe(study.config.recipe),
        numbers=tuple(trial.number for trial in complete),
        seeds=tuple(trial.seed for trial in complete),
        scores=tuple(by_seed.values()),
        accuracies=tuple(trial.accuracy or 0.0 for trial in complete),
        running=running,
        failure=failures[-1] if failures and not complete and not running else None,
        score=score,
        gain=gain,
        gain_error=error,
        values={
            key: value for key, value in asdict(alternative.costs).items() if value is not None
        },
        training_ratio=_training_ratio(study.config.recipe, alternative, bare_values),
        exceeded_limit=alternative.costs.exceeded_limit(study.config.limits),
    )


def _training_ratio(
    recipe: Recipe, alternative: Alternative, bare_values: Mapping[str, float]
) -> float | None:
    """See `AlternativeSummary`. It is exact; measured times depend on what else a machine does."""
    if not bare_values.get("macs"):
        return None
    epochs = alternative.recipe(recipe).epochs / recipe.epochs
    return epochs * alternative.costs.macs / bare_values["macs"]


def _summary_json(summary: AlternativeSummary, metric: Objective) -> dict[str, Any]:
    alternative, failure = summary.alternative, summary.failure
    return {
        "kind": alternative.kind,
        "backbone": alternative.backbone,
        "epochs": summary.recipe.epochs,
        "image_size": summary.recipe.image_size,
        "reason": alternative.reason,
        "numbers": list(summary.numbers),
        "seeds": list(summary.seeds),
        "accuracies": list(summary.accuracies),
        **score_json(metric, summary.score, summary.scores, summary.accuracies),
        "gain": summary.gain,
        "gain_error": summary.gain_error,
        "values": dict(summary.values),
        "training_ratio": summary.training_ratio,
        "exceeded_limit": summary.exceeded_limit,
        "running": summary.running,
        "failure": failure and {"kind": failure.kind, "message": failure.message},
    }
