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

from ...runners.recipe import Recipe
from ...spaces.architecture import Architecture
from ..alternatives import Alternative
from ..records import StudyRecord, TrialRecord
from ..stored_config import ConfirmPlan
from .confirmation import Confirmation
from .contenders import Contender, ContenderDifferences
from .image_sampling import Bools
from .paired_comparisons import Difference


@dataclass(frozen=True)
class ConfirmedAlternative:
    """An alternative that is being confirmed.

    Attributes:
        alternative: what is trained.
        recipe: with which it is trained.
        numbers, seeds, accuracies: of its complete confirming trials, on the test split.
        gain: over the bare backbone; None while there are too few seeds.
        lead: over the most accurate attention that is better than the bare backbone; None likewise,
            and if there is no such attention.
    """

    alternative: Alternative
    recipe: Recipe
    numbers: tuple[int, ...]
    seeds: tuple[int, ...]
    accuracies: tuple[float, ...]
    gain: Difference | None = None
    lead: Difference | None = None

    @property
    def accuracy(self) -> float:
        """The mean over seeds, a fraction."""
        return float(np.mean(self.accuracies))

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
            "accuracy": self.accuracy,
            **{
                name: difference and {**vars(difference), "claimed": difference.claimed}
                for name, difference in differences.items()
            },
        }


def analyse_confirmed_alternatives(
    study: StudyRecord,
    confirmation: Confirmation,
    trials: Iterable[TrialRecord],
    correct: Mapping[int, Bools],
) -> tuple[ConfirmedAlternative, ...]:
    """What the confirming trials of alternatives show; empty without complete ones.

    Args:
        study: its config holds the alternatives and the plan of the confirmation.
        confirmation: of its architectures.
        trials: the confirming trials of alternatives.
        correct: which test images each trial judges correctly, those of architectures included, by
            its number.
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
    differences = ContenderDifferences(contenders, one_split, correct, study.config.num_classes)
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
                    tuple(trial.accuracy or 0.0 for trial in kind_trials),
                )
            )
    return confirmed


def _contender(name: Architecture, confirmed: ConfirmedAlternative) -> Contender:
    numbers, seeds, accuracies = confirmed.numbers, confirmed.seeds, confirmed.accuracies
    return Contender(name, False, None, numbers, seeds, accuracies)


def _of_first_split(contenders: Sequence[Contender], plan: ConfirmPlan) -> list[Contender]:
    """The contenders with their trials of the first split, the only one of alternatives."""
    parts = []
    for contender in contenders:
        rows = zip(contender.numbers, contender.seeds, contender.accuracies, strict=True)
        first = [row for row in rows if plan.split_of(row[1]) == 0]
        if first:
            numbers, seeds, accuracies = zip(*first, strict=True)
            parts.append(replace(contender, numbers=numbers, seeds=seeds, accuracies=accuracies))
    return parts
