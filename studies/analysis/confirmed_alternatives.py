"""What the alternatives to attention gain on the test split, with fresh seeds.

They are compared with the bare backbone, and with the best attention, as architectures are compared
with each other (`contenders`): paired by seed, for new seeds and new images, with a correction for
the number of comparisons. They are a family of their own, so the claims about attention are the
same with alternatives and without them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ...runners.image_scores import JudgedImages
from ...runners.recipe import Recipe
from ...spaces.architecture import Architecture
from ..alternatives import Alternative
from ..objectives import Objective
from ..records import StudyRecord, TrialRecord
from ..stored_config import ConfirmPlan
from .confirmation import Confirmation
from .contenders import Contender, ContenderDifferences
from .paired_comparisons import Difference
from .score_json import score_json


@dataclass(frozen=True)
class ConfirmedAlternative:
    """An alternative that is being confirmed.

    Attributes:
        alternative: what is trained.
        recipe: with which it is trained.
        numbers, seeds: of its complete confirming trials.
        scores, accuracies: of these trials, on the test split; see `findings`.
        metric: of the scores.
        gain: over the bare backbone; None while there are too few seeds.
        lead: over the best attention that is better than the bare backbone; None likewise,
            and if there is no such attention.
    """

    alternative: Alternative
    recipe: Recipe
    numbers: tuple[int, ...]
    seeds: tuple[int, ...]
    scores: tuple[float, ...]
    accuracies: tuple[float, ...]
    metric: Objective
    gain: Difference | None = None
    lead: Difference | None = None

    @property
    def score(self) -> float:
        """The mean over seeds."""
        return float(np.mean(self.scores))

    def to_json(self) -> dict[str, Any]:
        """Its entry in `attentune confirm --json`."""
        differences = {"gain": self.gain, "lead": self.lead}
        return {
            "kind": self.alternative.kind,
            "backbone": self.alternative.backbone,
            "epochs": self.recipe.epochs,
            "image_size": self.recipe.image_size,
            "trials": list(self.numbers),
            "seeds": list(self.seeds),
            "accuracies": list(self.accuracies),
            **score_json(self.metric, self.score, self.scores, self.accuracies),
            **{
                name: difference and {**vars(difference), "claimed": difference.claimed}
                for name, difference in differences.items()
            },
        }


def analyse_confirmed_alternatives(
    study: StudyRecord,
    confirmation: Confirmation,
    trials: Iterable[TrialRecord],
    judged: Mapping[int, JudgedImages],
) -> tuple[ConfirmedAlternative, ...]:
    """What the confirming trials of alternatives show; empty without complete ones.

    Args:
        study: its config holds the alternatives and the plan of the confirmation.
        confirmation: of its architectures.
        trials: the confirming trials of alternatives.
        judged: how each trial judges the test images, those of architectures included, by its
            number.
    """
    plan = study.config.confirmation
    confirmed = _confirmed(study, trials)
    if plan is None or not confirmed:
        return ()
    kinds = [a.alternative.kind for a in confirmed]
    names = {kind: Architecture(f"alternative-{kind}") for kind in kinds}
    contenders = [
        *_of_first_split(confirmation.contenders, plan),
        *(_contender(names[a.alternative.kind], a) for a in confirmed),
    ]
    one_split = replace(plan, splits=1)
    assert study.metric.metric is not None  # It is no cost.
    differences = ContenderDifferences(
        contenders, one_split, judged, study.metric.metric, study.config.num_classes
    )
    bare = next((c.architecture for c in contenders if str(c.architecture) == study.backbone), None)
    attention = next((c.architecture for c in confirmation.better), None)
    gains, leads = (
        _against(reference, differences, names.values()) for reference in (bare, attention)
    )
    return tuple(
        replace(a, gain=gains.get(names[kind]), lead=leads.get(names[kind]))
        for kind, a in zip(kinds, confirmed, strict=True)
    )


def _against(
    reference: Architecture | None,
    differences: ContenderDifferences,
    names: Iterable[Architecture],
) -> dict[Architecture, Difference]:
    """The differences of some contenders from a reference, corrected as a family."""
    if reference is None:
        return {}
    family = differences.family((name, reference) for name in names)
    return {name: difference for (name, _), difference in family.items()}


def _confirmed(study: StudyRecord, trials: Iterable[TrialRecord]) -> list[ConfirmedAlternative]:
    """The alternatives with complete trials, in the order of the plan."""
    complete = [trial for trial in trials if trial.state == "complete"]
    confirmed = []
    for alternative in study.config.alternatives.alternatives:
        kind_trials = [trial for trial in complete if trial.alternative == alternative.kind]
        if kind_trials:
            recipe = study.config.recipe_of(kind_trials[0].role, kind_trials[0].epochs)
            confirmed.append(
                ConfirmedAlternative(
                    alternative,
                    recipe,
                    tuple(trial.number for trial in kind_trials),
                    tuple(trial.seed for trial in kind_trials),
                    tuple(trial.score or 0.0 for trial in kind_trials),
                    tuple(trial.accuracy or 0.0 for trial in kind_trials),
                    study.metric,
                )
            )
    return confirmed


def _contender(name: Architecture, confirmed: ConfirmedAlternative) -> Contender:
    numbers, seeds = confirmed.numbers, confirmed.seeds
    return Contender(name, False, None, numbers, seeds, confirmed.scores, confirmed.accuracies)


def _of_first_split(contenders: Sequence[Contender], plan: ConfirmPlan) -> list[Contender]:
    """The contenders with their trials of the first split, the only one of alternatives."""
    parts = []
    for contender in contenders:
        kept = [i for i, seed in enumerate(contender.seeds) if plan.split_of(seed) == 0]
        if kept:
            part = replace(
                contender,
                numbers=tuple(contender.numbers[i] for i in kept),
                seeds=tuple(contender.seeds[i] for i in kept),
                scores=tuple(contender.scores[i] for i in kept),
                accuracies=tuple(contender.accuracies[i] for i in kept),
            )
            parts.append(part)
    return parts
