"""Alternatives to attention: what one would do instead with about the same computation.

A study can train its bare backbone in other ways: the next larger backbone of the family, half as
many epochs again, larger images. Each is a trial of a plain backbone with another backbone or
another recipe, and so not an architecture of the search space. Its trials have roles of their own,
and neither the estimator nor the front, a sampler, a pruner or Optuna ever sees them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, get_args

from ..runners.recipe import Recipe
from ..runners.results import Costs

AlternativeKind = Literal["backbone", "epochs", "images"]
"""What is changed: a larger backbone, more epochs, or larger images."""
ALTERNATIVE_KINDS: tuple[AlternativeKind, ...] = get_args(AlternativeKind)

ALTERNATIVE_ROLES = {kind: f"alternative:{kind}" for kind in ALTERNATIVE_KINDS}
"""The role of an alternative's trials, which are evaluated on validation data."""
CONFIRMING_ALTERNATIVE_ROLES = {kind: f"confirm:{kind}" for kind in ALTERNATIVE_KINDS}
"""The role of an alternative's trials that are evaluated on the test split."""
_KINDS = {
    role: kind
    for roles in (ALTERNATIVE_ROLES, CONFIRMING_ALTERNATIVE_ROLES)
    for kind, role in roles.items()
}

EPOCH_FACTOR = 1.5
"""Epochs of the alternative with more epochs, as a multiple of the recipe's."""


def alternative_kind(role: str) -> AlternativeKind | None:
    """The kind of the alternative that a trial with this role trains; None if it trains none."""
    return _KINDS.get(role)


@dataclass(frozen=True)
class Alternative:
    """One alternative of a study, as it is decided before its first trial.

    Attributes:
        kind: what is changed.
        backbone: a timm model, which is trained without attention.
        image_size: side of the square images, pixels.
        epoch_factor: epochs, as a multiple of the recipe's.
        reason: why this one was chosen, as a sentence.
        costs: of its network; the latency ratio compares it with the bare backbone of the study.
    """

    kind: AlternativeKind
    backbone: str
    image_size: int
    epoch_factor: float
    reason: str
    costs: Costs

    def recipe(self, recipe: Recipe) -> Recipe:
        """The recipe of the alternative, made from that of the bare backbone.

        The learning rate and everything else that is not changed stay as they are. Shifts and
        squares of the augmentation, which are in pixels, grow with the image.
        """
        scale = self.image_size / recipe.image_size
        changes = {
            "epochs": math.ceil(self.epoch_factor * recipe.epochs),
            "image_size": self.image_size,
            "crop": round(scale * recipe.crop),
            "cutout": round(scale * recipe.cutout),
        }
        return Recipe.of(**{**recipe.model_dump(), **changes})


@dataclass(frozen=True)
class AlternativesPlan:
    """The alternatives of a study. They are decided once and stored with it.

    Attributes:
        alternatives: those that are trained.
        missing: why there is no alternative of a kind, as a sentence, by its kind. The next run
            tries again to find one.
    """

    alternatives: tuple[Alternative, ...] = ()
    missing: Mapping[AlternativeKind, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Raise a ValueError if two alternatives are of one kind."""
        kinds = [alternative.kind for alternative in self.alternatives]
        if len(set(kinds)) < len(kinds):
            raise ValueError("two alternatives of one kind")

    def get(self, kind: str | None) -> Alternative | None:
        """The alternative of a kind; None if there is none."""
        return next((a for a in self.alternatives if a.kind == kind), None)

    def stored_in(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """A copy of the JSON of a study in which its alternatives are these."""
        return {**config, "alternatives": asdict(self)}
